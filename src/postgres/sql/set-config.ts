import type { Setting } from './analysis.js';
import { type Fields, isFields, listOf, type Node, namesOf, nodeOf, textOf } from './tree.js';

/**
 * What a call of `set_config` sets, when it says the name and how long: as good as that SET, whenever and however often it
 * runs. The value is null where it is no constant: any.
 * @param call - the fields of the call
 * @param only - the one value that the column `name` has at this place (`settingChosen`)
 * @returns null for every other call: nobody knows which setting it sets
 */
export function settingOf(call: Fields, only: string | null): Setting | null {
  const args = listOf(call.args).map(nodeOf);
  const [setting, given, local] = args;
  const name = stringOf(setting) ?? (isColumnName(setting) ? only : null);
  const isLocal = booleanOf(local);
  if (args.length !== 3 || name === null || isLocal === null) return null;
  // VARIADIC, FILTER, OVER and their like: never written, and so nobody looked into what they would do.
  if (Object.keys(call).some((field) => !PLAIN_CALL.has(field))) return null;
  return { name: name.toLowerCase(), value: stringOf(given), kind: 'set', local: isLocal };
}

const PLAIN_CALL: ReadonlySet<string> = new Set(['funcname', 'args', 'funcformat', 'location']);

/**
 * The one value of `name` in `SELECT … FROM pg_settings WHERE name = 'x'`: so pg_dump sets what older servers do not have.
 * @param select - the fields of a SELECT
 */
export function settingChosen(select: Fields): string | null {
  const [from, ...more] = listOf(select.fromClause).map(nodeOf);
  const where = nodeOf(select.whereClause);
  if (more.length > 0 || from?.tag !== 'RangeVar' || where?.tag !== 'A_Expr') return null;
  const { relname, schemaname, catalogname, alias } = from.fields;
  if (relname !== 'pg_settings' || catalogname !== undefined || alias !== undefined) return null;
  if (schemaname !== undefined && schemaname !== 'pg_catalog') return null;
  const { kind, name, lexpr, rexpr } = where.fields;
  const operator = namesOf(name);
  if (kind !== 'AEXPR_OP' || operator?.join() !== '=' || !isColumnName(nodeOf(lexpr))) return null;
  return stringOf(nodeOf(rexpr));
}

function isColumnName(node: Node | null | undefined): boolean {
  return node?.tag === 'ColumnRef' && namesOf(node.fields.fields)?.join('.') === 'name';
}

/** The empty string is an absent field in the tree, and SQL's null a constant of another kind. */
function stringOf(node: Node | null | undefined): string | null {
  if (node?.tag !== 'A_Const' || !isFields(node.fields.sval)) return null;
  return textOf(node.fields.sval.sval) ?? '';
}

function booleanOf(node: Node | null | undefined): boolean | null {
  if (node?.tag !== 'A_Const' || !isFields(node.fields.boolval)) return null;
  return node.fields.boolval.boolval === true;
}
