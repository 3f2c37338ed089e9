import { type Decision, deny } from '../policy/decision.js';
import { type Catalog, relationIn, resolveIn } from './catalog/catalog.js';
import { nameOf, type Reference, type Relation, resolve, type Source, type Statement } from './sql/analysis.js';

/** What a statement may read of one relation. */
export interface ColumnLimit {
  readonly relation: Relation;
  readonly columns: ReadonlySet<string>;
  /** The schema of unqualified names. */
  readonly schema: string | undefined;
  /** Absent where there is no database to ask: `*` is then never allowed. */
  readonly catalog: Catalog | undefined;
}

/**
 * Refuses a statement that reads a column which the rules for one of its relations leave out. A name that may be such a
 * column counts as one; so does the whole row (`o`, `o.*`, `row_to_json(o)`) and what hides the columns' names.
 */
export function refuseColumns(statement: Statement, limit: ColumnLimit): Decision | null {
  const { relation, columns, catalog } = limit;
  const known = catalog && relationIn(catalog, relation)?.columns;
  if (known?.every((column) => columns.has(column))) return null;
  if (catalog && !known) return refusal(limit, `the columns of ${nameOf(relation)} are not known`);
  const read = readBeyond(statement, limit, known);
  return read === null ? null : refusal(limit, `${read} of ${nameOf(relation)}`);
}

/** Which names are columns of a relation. */
interface Known {
  includes(name: string): boolean;
}

/**
 * What a statement may read of a relation beyond its limit, in words; or null.
 * @param known - absent: every name may be a column of it
 */
export function readBeyond(statement: Statement, limit: ColumnLimit, known: Known | undefined): string | null {
  // Most references of a query see the very same items, which are looked through once.
  const ours = new Map<readonly Source[], readonly Source[]>();
  for (const reference of statement.references) {
    const visible = ours.get(reference.visible) ?? reference.visible.filter((item) => isRelation(item, limit));
    ours.set(reference.visible, visible);
    const read = visible.length === 0 ? null : readBy(reference, visible, limit, known);
    if (read !== null) return read;
  }
  return null;
}

/**
 * What a reference may read beyond the limit, in words; or null.
 * @param visible - the items it may stand for that are the relation
 */
function readBy(
  { fields, star, own }: Reference,
  visible: readonly Source[],
  limit: ColumnLimit,
  known: Known | undefined,
): string | null {
  const [last = '', alias] = fields.toReversed();
  if (star) {
    const items =
      fields.length === 0
        ? own.filter((item) => isRelation(item, limit))
        : visible.filter((item) => item.alias === last);
    return items.length > 0 ? 'every column' : null;
  }
  if (visible.some(({ whole }) => whole)) return 'columns under other names';
  // A column that the rule names and the relation lacks would be something else: an alias, and so the whole row.
  if (limit.columns.has(last) && known?.includes(last) !== false) return null;
  if (alias !== undefined) return visible.some((item) => item.alias === alias) ? `the column ${last}` : null;
  if (visible.some((item) => item.alias === last) && !known?.includes(last)) return 'every column';
  return known === undefined || known.includes(last) || SYSTEM_COLUMNS.has(last) ? `the column ${last}` : null;
}

const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

function isRelation({ relation }: Source, { relation: ours, schema, catalog }: ColumnLimit): boolean {
  if (relation === null) return false;
  const resolved = catalog ? resolveIn(catalog, relation, schema) : resolve(relation, schema);
  return resolved.schema === ours.schema && resolved.name === ours.name;
}

function refusal({ relation, columns }: ColumnLimit, what: string): Decision {
  const hint = `of ${nameOf(relation)} these may be read: ${[...columns].join(', ')}; name them one by one, as alias.column where other relations are read too`;
  return deny('out_of_scope', `no rule allows reading ${what}`, `reading ${what} is outside the role`, hint);
}
