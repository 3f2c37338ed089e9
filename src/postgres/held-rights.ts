import type { Account, NeededRights } from './rights.js';
import { PRIVILEGES, type Privilege } from './rights.js';

/** What an account may really do, as its database says. */
export interface HeldRights {
  /** superuser, createrole, createdb, replication, bypassrls. */
  readonly attributes: readonly string[];
  /** Roles it is a member of, also through others. */
  readonly memberOf: readonly string[];
  /** What it may on the database itself: create, temporary. */
  readonly database: readonly string[];
  /** Schemas in which it may create. */
  readonly createsIn: readonly string[];
  readonly schemas: ReadonlySet<string>;
  readonly relations: readonly HeldRelation[];
  /** `schema.name` of functions that run with their owner's rights and that it may call. */
  readonly definers: readonly string[];
  /** `schema.name` of every function it may call that is not PostgreSQL's own. */
  readonly functions: ReadonlySet<string>;
  /** Functions of PostgreSQL's own that write and that it may call. */
  readonly writers: readonly string[];
}

export interface HeldRelation {
  readonly schema: string;
  readonly name: string;
  readonly owned: boolean;
  readonly columns: readonly string[];
  /** On the whole relation. */
  readonly privileges: ReadonlySet<Privilege>;
  /** Columns it may read, also where it may not read the whole. */
  readonly readable: ReadonlySet<string>;
  /** Columns it may change, insert or refer to where it may not on the whole. */
  readonly writable: readonly string[];
}

/** How an account differs from what the policy wants of it: sentences for a person. */
export interface Difference {
  /** What it may beyond the policy: behind the gateway's own walls there would be nothing. */
  readonly exceeds: readonly string[];
  /** What the policy allows and the database will refuse. */
  readonly lacks: readonly string[];
}

/** Holds what an account may do against what its roles need. Pure. An account that a role may do anything with lacks only what is named. */
export function compareRights(account: Account, held: HeldRights): Difference {
  const superuser = held.attributes.includes('superuser');
  // Nothing else is worth naming about one who may do anything.
  const all = superuser ? ['is superuser'] : excessOfAccount(account, held);
  const relations = superuser ? [] : held.relations.flatMap((one) => excessOf(account, one));
  const exceeds = account.any ? [] : [...all, ...relations];
  return { exceeds, lacks: superuser ? missingRelations(account, held) : lacking(account, held) };
}

function excessOfAccount(account: Account, held: HeldRights): string[] {
  const unnamed = held.definers.filter((name) => !account.functions.has(name));
  const writers = held.writers.filter((name) => !account.functions.has(`pg_catalog.${name}`));
  return [
    ...held.attributes.map((attribute) => `is ${attribute}`),
    ...held.memberOf.map((role) => `is a member of ${role}`),
    ...held.database.map(
      (what) =>
        `may ${what === 'create' ? 'create schemas in' : 'make temporary tables in'} ${account.target.database}`,
    ),
    ...held.createsIn
      .filter((schema) => !account.defines.has(`${schema}.*`))
      .map((schema) => `may create in the schema ${schema}`),
    ...unnamed.map((name) => `may call ${name}, which runs with its owner's rights`),
    ...(writers.length > 0
      ? [`may call ${writers.join(', ')}: large objects can be written even in a read-only session`]
      : []),
  ];
}

function excessOf(account: Account, held: HeldRelation): string[] {
  const name = `${held.schema}.${held.name}`;
  const needed = rightsOn(account, held);
  const wanted = new Set(needed.flatMap(({ privileges }) => [...privileges]));
  const defined = account.defines.has(name) || account.defines.has(`${held.schema}.*`);
  if (held.owned) return defined ? [] : [`owns ${name}`];
  const whole = PRIVILEGES.filter((privilege) => held.privileges.has(privilege) && !wanted.has(privilege)).map(
    (privilege) => `may ${privilege.toLowerCase()} ${privilege === 'SELECT' ? 'from ' : ''}${name}`,
  );
  const columns = wanted.has('SELECT') ? readColumns(needed) : new Set<string>();
  const wholeIsNamed = held.privileges.has('SELECT') && !wanted.has('SELECT');
  const more = columns === null || wholeIsNamed ? [] : [...held.readable].filter((column) => !columns.has(column));
  const writable = wanted.has('INSERT') || wanted.has('UPDATE') ? [] : held.writable;
  return [
    ...whole,
    ...(more.length > 0 ? [`may read ${more.join(', ')} of ${name}`] : []),
    ...(writable.length > 0 ? [`may change ${writable.join(', ')} of ${name}`] : []),
  ];
}

/** Null: all of them. */
function readColumns(needed: readonly NeededRights[]): ReadonlySet<string> | null {
  const reading = needed.filter(({ privileges }) => privileges.has('SELECT'));
  if (reading.some(({ columns }) => columns === null)) return null;
  return new Set(reading.flatMap(({ columns }) => [...(columns ?? [])]));
}

function rightsOn(
  account: Account,
  { schema, name }: { readonly schema: string; readonly name: string },
): NeededRights[] {
  return account.relations.filter((one) => one.schema === schema && (one.name === null || one.name === name));
}

function missingRelations(account: Account, held: HeldRights): string[] {
  return account.relations
    .filter((one) => one.name !== null && !isSystem(one.schema) && find(held, one) === undefined)
    .map((one) => `has no relation ${one.schema}.${one.name}`);
}

function lacking(account: Account, held: HeldRights): string[] {
  const own = [...account.schemas].filter((schema) => !isSystem(schema));
  const missing = held.relations.flatMap((one) => rightsOn(account, one).flatMap((needed) => lackingOn(needed, one)));
  const functions = [...account.functions].filter(
    (name) => !isSystem(name.split('.')[0] ?? '') && !held.functions.has(name),
  );
  return [
    ...missingRelations(account, held),
    ...own.filter((schema) => !held.schemas.has(schema)).map((schema) => `may not use the schema ${schema}`),
    ...new Set(missing),
    ...functions.map((name) => `may not call ${name}, or there is no such function`),
  ];
}

function lackingOn(needed: NeededRights, held: HeldRelation): string[] {
  const name = `${held.schema}.${held.name}`;
  if (held.owned) return [];
  return [...needed.privileges].flatMap((privilege) => {
    if (held.privileges.has(privilege)) return [];
    if (privilege !== 'SELECT') return [`may not ${privilege.toLowerCase()} ${name}`];
    const columns = [...(needed.columns ?? held.columns)].filter((column) => !held.readable.has(column));
    return columns.length > 0 ? [`may not read ${columns.join(', ')} of ${name}`] : [];
  });
}

function find(held: HeldRights, { schema, name }: NeededRights): HeldRelation | undefined {
  return held.relations.find((one) => one.schema === schema && one.name === name);
}

function isSystem(schema: string): boolean {
  return schema === 'information_schema' || schema.startsWith('pg_');
}
