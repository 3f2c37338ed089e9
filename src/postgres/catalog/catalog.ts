import type { Relation } from '../sql/analysis.js';

/** A relation outside PostgreSQL's own schemas. */
export interface CatalogRelation {
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relkind`: r table, p partitioned, v view, m materialised view, f foreign, S sequence, c composite type. */
  readonly kind: string;
  readonly columns: readonly string[];
  /** The type of each column, by its number. */
  readonly types: readonly number[];
  /** The type of a whole row; 0 where there is none. */
  readonly rowType: number;
}

/** All functions of one name in one schema. */
export interface CatalogFunctions {
  /** One of them takes a row as its only argument: `o.f` may call it. */
  readonly takesRow: boolean;
  /** One of them can be called with a single argument: `(expression).f` may call it. */
  readonly takesOne: boolean;
  /** One of them belongs to no extension. */
  readonly made: boolean;
}

/** One operator that somebody made. */
export interface CatalogOperator {
  /** The types of its operands (the elements' for arrays); 0 on the left of a prefix operator. */
  readonly left: number;
  readonly right: number;
  /** `schema.name` of its function. */
  readonly by: string;
}

/** A type that is not PostgreSQL's own. */
export interface CatalogType {
  readonly schema: string;
  readonly name: string;
  /** `pg_type.typtype`: b base, c composite, d domain, e enum, m multirange, p pseudo, r range. */
  readonly kind: string;
  /** The type of an array's elements; 0 when it is no array. */
  readonly element: number;
  /** It belongs to an extension: its code is as much the database's own as PostgreSQL's. */
  readonly extension: boolean;
}

/** A cast that somebody made and that calls a function. */
export interface CatalogCast {
  readonly source: number;
  readonly target: number;
  /** The name of the target type, PostgreSQL's own or not. */
  readonly targetName: string;
  /** `schema.name` of the function. */
  readonly by: string;
  /** Applied without being asked for: everywhere, or where a value is stored (`pg_cast.castcontext`). */
  readonly implicit: boolean;
  readonly assigned: boolean;
}

/**
 * What a database held at one moment, as far as decisions need it. Frozen, and the same object as long as nothing has
 * changed: whoever keeps a decision keeps it under this value (THREATS.md B10).
 */
export interface Catalog {
  /** Hex; the same for the same content. */
  readonly version: string;
  /** By schema and name; only what is not PostgreSQL's own. */
  readonly relations: ByName<CatalogRelation>;
  /** Added to pg_catalog by somebody, too. */
  readonly functions: ByName<CatalogFunctions>;
  /** Operators and casts of extensions are not among them: they are the arithmetic of the extension's types. */
  readonly operators: ByName<readonly CatalogOperator[]>;
  readonly types: ReadonlyMap<number, CatalogType>;
  readonly typeNames: ByName<CatalogType & { readonly id: number }>;
  readonly casts: readonly CatalogCast[];
  /** Names of pg_catalog: found there before the search path is looked at. */
  readonly systemRelations: ReadonlySet<string>;
  readonly systemTypes: ReadonlySet<string>;
  readonly systemOperators: ReadonlySet<string>;
}

/** Things by the schema and the name they have. */
export type ByName<T> = ReadonlyMap<string, ReadonlyMap<string, T>>;

/** One of them. */
export function find<T>(things: ByName<T>, schema: string, name: string): T | undefined {
  return things.get(schema)?.get(name);
}

/**
 * What PostgreSQL takes an unqualified relation name for: pg_catalog first, then the one schema of the search path. (The
 * session's temporary schema comes before both; a restricted role cannot make anything in it.)
 */
export function resolveIn(catalog: Catalog, relation: Relation, schema: string | undefined): Relation {
  if (relation.schema !== null) return relation;
  if (catalog.systemRelations.has(relation.name)) return { schema: 'pg_catalog', name: relation.name };
  return schema === undefined ? relation : { schema, name: relation.name };
}

/** The relation, if the catalog holds it. */
export function relationIn(catalog: Catalog, { schema, name }: Relation): CatalogRelation | undefined {
  return schema === null ? undefined : find(catalog.relations, schema, name);
}
