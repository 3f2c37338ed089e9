import type { Relation } from './analysis.js';
import { DEFINITION_STATEMENTS } from './shapes.js';
import { type Fields, isFields, listOf, type Node, namesOf, nodeOf, textOf } from './tree.js';
import type { Walker } from './walk.js';

/** Subcommands of ALTER TABLE that touch only the table's own columns and constraints. */
const ALTERATIONS: ReadonlySet<string> = new Set(
  `AT_AddColumn AT_DropColumn AT_AlterColumnType AT_ColumnDefault AT_SetNotNull AT_DropNotNull AT_AddConstraint
   AT_DropConstraint AT_ValidateConstraint AT_SetStatistics AT_SetStorage AT_SetCompression AT_DropExpression`.split(
    /\s+/,
  ),
);

const DROPPABLE: ReadonlySet<string> = new Set(['OBJECT_TABLE', 'OBJECT_VIEW', 'OBJECT_MATVIEW', 'OBJECT_INDEX']);
const RENAMEABLE: ReadonlySet<string> = new Set([...DROPPABLE, 'OBJECT_COLUMN', 'OBJECT_TABCONSTRAINT']);

/**
 * Notes what a definition (DDL) changes: tables, views and indexes, one relation at a time.
 * @returns false for every other definition (functions, triggers, roles, privileges, CASCADE …), which is nobody's but `any`'s
 */
export function walkDefinition({ tag, fields }: Node, walker: Walker): boolean {
  const shape = DEFINITION_STATEMENTS.get(tag);
  if (!shape || !changesOnlyItsTarget(tag, fields)) return false;
  for (const target of targetsOf(tag, fields, walker)) walker.writes.push({ verb: 'ddl', relation: target });
  walker.walkShaped(tag, fields, shape);
  return true;
}

function changesOnlyItsTarget(tag: string, fields: Fields): boolean {
  if (fields.behavior === 'DROP_CASCADE') return false;
  if (tag === 'DropStmt') return DROPPABLE.has(textOf(fields.removeType) ?? '');
  if (tag === 'RenameStmt') return RENAMEABLE.has(textOf(fields.renameType) ?? '') && isFields(fields.relation);
  if (tag === 'AlterTableStmt')
    return fields.objtype === 'OBJECT_TABLE' && listOf(fields.cmds).every(isPlainAlteration);
  return true;
}

function isPlainAlteration(command: unknown): boolean {
  const fields = nodeOf(command)?.fields;
  return ALTERATIONS.has(textOf(fields?.subtype) ?? 'none') && fields?.behavior !== 'DROP_CASCADE';
}

function targetsOf(tag: string, fields: Fields, walker: Walker): readonly Relation[] {
  switch (tag) {
    case 'DropStmt':
      return listOf(fields.objects).flatMap((item) => present(named(item, walker)));
    case 'TruncateStmt':
      return listOf(fields.relations).flatMap((item) => present(walker.relation(nodeOf(item)?.fields)));
    case 'ViewStmt':
      return present(walker.relation(fields.view));
    case 'CreateTableAsStmt':
      return present(walker.relation(isFields(fields.into) ? fields.into.rel : undefined));
    case 'RenameStmt':
      return renamed(fields, walker);
    default:
      return present(walker.relation(fields.relation));
  }
}

/** Both names: what is taken away, and what appears. */
function renamed(fields: Fields, walker: Walker): readonly Relation[] {
  const old = walker.relation(fields.relation);
  const name = DROPPABLE.has(textOf(fields.renameType) ?? '') ? textOf(fields.newname) : null;
  if (!old) return [];
  return name === null ? [old] : [old, { schema: old.schema, name }];
}

function named(item: unknown, walker: Walker): Relation | null {
  const names = namesOf(nodeOf(item)?.fields.items) ?? [];
  const name = names.at(-1);
  if (name === undefined || names.length > 2) {
    walker.refuse('a relation that is not schema.name');
    return null;
  }
  return { schema: names.length === 2 ? (names[0] ?? null) : null, name };
}

function present(relation: Relation | null): readonly Relation[] {
  return relation ? [relation] : [];
}
