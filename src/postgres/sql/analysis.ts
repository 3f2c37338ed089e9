/** What a text of SQL does, as far as its grammar alone can say. */

/** A relation as the text names it; a null schema is resolved by the role's search_path. */
export interface Relation {
  readonly schema: string | null;
  readonly name: string;
}

/** Statement kinds that a rule of a policy can name, `any` aside. */
export const RULE_KINDS = [
  'select',
  'explain',
  'show',
  'copy-out',
  'insert',
  'update',
  'delete',
  'merge',
  'copy-in',
  'ddl',
] as const;
export type RuleKind = (typeof RULE_KINDS)[number];

/** Kinds that change something. */
export type WriteKind = 'insert' | 'update' | 'delete' | 'merge' | 'copy-in' | 'ddl';

/** Statements that no rule names: always possible, judged by what they contain or set. */
export type ControlKind =
  | 'transaction'
  | 'lock'
  | 'set'
  | 'reset'
  | 'prepare'
  | 'execute'
  | 'declare'
  | 'fetch'
  | 'close'
  | 'deallocate'
  | 'discard';

/** `other` (DO, CALL, a stronger LOCK, LISTEN, GRANT, VACUUM, COPY with a file …) takes a rule with `any`. */
export type Verb = RuleKind | ControlKind | 'other';

export interface Write {
  readonly verb: WriteKind;
  readonly relation: Relation;
}

/** A function as the text calls it. */
export interface Call {
  readonly schema: string | null;
  readonly name: string;
  /** Of `set_config` with a constant for a name: what it sets. */
  readonly sets?: Setting;
}

/** One item of a FROM clause, or the target of a change: what a column may come from. */
export interface Source {
  /** The name that columns are qualified with; null when the item has none. */
  readonly alias: string | null;
  /** Null for a query, a function, a WITH name: its columns are not known here. */
  readonly relation: Relation | null;
  /** Its columns may be used under other names or all at once (column aliases, NATURAL, an alias of the whole join). */
  readonly whole: boolean;
}

/** What is written like a column: `a`, `o.a`, `s.o.a`, `*`, `o.*`. */
export interface Reference {
  /** Without the star. */
  readonly fields: readonly string[];
  readonly star: boolean;
  /** The items of the same query. */
  readonly own: readonly Source[];
  /** Every item it may stand for: `own` and those of the queries around. */
  readonly visible: readonly Source[];
}

/** `(expression).name`: a field of a composite value, or a call of the function `name` in disguise. */
export interface Attribute {
  readonly name: string;
  /** What the expression is when it is one bare name. */
  readonly of: Reference | null;
}

/** A type as the text names it. */
export interface TypeUse {
  readonly schema: string | null;
  readonly name: string;
}

export interface Setting {
  /** Lower case. Null in RESET ALL. */
  readonly name: string | null;
  /**
   * The values joined by commas, as SET would store them. Null where there is none (RESET, SET … TO DEFAULT, SHOW), and of
   * `set_config` where it may be any.
   */
  readonly value: string | null;
  readonly kind: 'set' | 'reset' | 'show';
  readonly local: boolean;
}

export interface Transaction {
  /** What PostgreSQL calls it: `begin`, `start`, `commit`, `rollback`, `savepoint`, `release`, `rollback_to`, `set`. */
  readonly kind: string;
  /** READ WRITE is asked for. */
  readonly readWrite: boolean;
}

/** One statement. Lists hold what stands in it directly; what stands in its `body` is the body's. */
export interface Statement {
  readonly verb: Verb;
  /** The statement in words; for `other` more than its verb. */
  readonly what: string;
  readonly reads: readonly Relation[];
  readonly writes: readonly Write[];
  /** Relations whose rows SELECT … FOR UPDATE/SHARE locks: as good as an update. */
  readonly locks: readonly Relation[];
  readonly functions: readonly Call[];
  readonly references: readonly Reference[];
  readonly attributes: readonly Attribute[];
  /** Operators by unqualified name, also those that BETWEEN, CASE, IN and USING stand for. */
  readonly operators: readonly string[];
  readonly types: readonly TypeUse[];
  /** Why its effect is unknown, or null. Unknown is refused. */
  readonly unknown: string | null;
  /** What EXPLAIN, PREPARE, DECLARE or COPY (query) contains. */
  readonly body: Statement | null;
  /** PREPARE and DECLARE: the name that `body` gets. */
  readonly defines: { readonly kind: 'statement' | 'cursor'; readonly name: string } | null;
  /** EXECUTE, FETCH and MOVE: the name of what runs, found by whoever tracks names. */
  readonly runs: { readonly kind: 'statement' | 'cursor'; readonly name: string } | null;
  /** DEALLOCATE and CLOSE (null: all of them), and DISCARD. */
  readonly drops: { readonly kind: 'statement' | 'cursor' | 'all'; readonly name: string | null } | null;
  readonly setting: Setting | null;
  readonly transaction: Transaction | null;
}

/** What a text does, statement by statement, or why nobody knows. An empty text does nothing: no statements. */
export type Analysis =
  | { readonly ok: true; readonly statements: readonly Statement[] }
  | { readonly ok: false; readonly reason: 'unparsable' | 'too_large' | 'unknown_effect'; readonly message: string };

/** The words of `name`, or `schema.name`. */
export function nameOf(relation: Relation): string {
  return relation.schema === null ? relation.name : `${relation.schema}.${relation.name}`;
}

/** PostgreSQL looks into pg_catalog first, whose relations all begin with pg_, and then into the search path. */
export function resolve(relation: Relation, searchPath: string | undefined): Relation {
  if (relation.schema !== null) return relation;
  if (relation.name.startsWith('pg_')) return { schema: 'pg_catalog', name: relation.name };
  return searchPath === undefined ? relation : { schema: searchPath, name: relation.name };
}
