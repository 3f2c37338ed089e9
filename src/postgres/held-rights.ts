import type { Account, ColumnPrivilege, NeededRights, SequencePrivilege, TablePrivilege } from './rights.js';
import { COLUMN_PRIVILEGES, SEQUENCE_PRIVILEGES, TABLE_PRIVILEGES } from './rights.js';

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
  readonly sequences: readonly HeldSequence[];
  /** `schema.name` of functions that run with their owner's rights and that it may call. */
  readonly definers: readonly string[];
  /** `schema.name` of every function it may call that is not PostgreSQL's own. */
  readonly functions: ReadonlySet<string>;
  /** Those of `functions` that run with its own rights, of no extension that only brings types. */
  readonly callable: readonly string[];
  /** Functions of PostgreSQL's own that write large objects and that it may call. */
  readonly writers: readonly string[];
  /** Functions of PostgreSQL's own that cancel or end other sessions of the account. */
  readonly enders: readonly string[];
  /** Functions that PostgreSQL keeps from everybody, and that this account may call. */
  readonly kept: readonly string[];
  /** `set <parameter>` and `alter system <parameter>`, as it was granted. */
  readonly parameters: readonly string[];
  /** Foreign servers that it may use. */
  readonly servers: readonly string[];
}

export interface HeldSequence {
  readonly schema: string;
  readonly name: string;
  readonly owned: boolean;
  readonly privileges: ReadonlySet<SequencePrivilege>;
  /** `schema.name` of the table whose column draws its numbers from it; or null. */
  readonly of: string | null;
}

export interface HeldRelation {
  readonly schema: string;
  readonly name: string;
  readonly owned: boolean;
  readonly columns: readonly string[];
  /** On the whole relation. */
  readonly privileges: ReadonlySet<TablePrivilege>;
  /** Columns it may read, also where it may not read the whole. */
  readonly readable: ReadonlySet<string>;
  /** Columns it may insert, change or refer to where it may not on the whole. */
  readonly columnsOnly: Readonly<Record<ColumnPrivilege, readonly string[]>>;
}

/** How an account differs from what the policy wants of it: sentences for a person. */
export interface Difference {
  /** What it may beyond the policy: behind the gateway's own walls there would be nothing. */
  readonly exceeds: readonly string[];
  /** What the policy allows and the database will refuse. */
  readonly lacks: readonly string[];
}

/**
 * Holds what an account may do against what its roles need. Pure. An account that all of its roles may do anything with has
 * nothing too much; one that only some of them may do anything with is no wall for the others.
 */
export function compareRights(account: Account, held: HeldRights): Difference {
  const superuser = held.attributes.includes('superuser');
  return {
    exceeds: account.any ? sharing(account) : excess(account, held, superuser),
    lacks: superuser ? missingRelations(account, held) : lacking(account, held),
  };
}

function sharing({ roles }: Account): string[] {
  const named = (any: boolean) => roles.filter((role) => role.any === any).map(({ name }) => name);
  const [anything, restricted] = [named(true).join(', '), named(false).join(', ')];
  return restricted === '' ? [] : [`is shared with ${anything} (any): to ${restricted} the account sets no limits`];
}

function excess(account: Account, held: HeldRights, superuser: boolean): string[] {
  // Nothing else is worth naming about one who may do anything.
  if (superuser) return ['is superuser'];
  return [
    ...excessOfAccount(account, held),
    ...held.relations.flatMap((one) => excessOf(account, one)),
    ...held.sequences.flatMap((one) => excessOfSequence(account, one)),
  ];
}

function excessOfAccount(account: Account, held: HeldRights): string[] {
  const unnamed = held.definers.filter((name) => !account.functions.has(name));
  const isOurs = (name: string) => account.functions.has(`pg_catalog.${name}`);
  const calls = (names: readonly string[], why: string) =>
    names.length > 0 ? [`may call ${listed(names)}${why}`] : [];
  const without = (names: readonly string[]) => names.filter((name) => !isOurs(name));
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
    ...calls(
      held.callable.filter((name) => !account.functions.has(name)),
      '',
    ),
    ...calls(without(held.writers), ': large objects can be written even in a read-only session'),
    ...calls(without(held.enders), ': whoever shares the account can be cut off'),
    ...calls(without(held.kept), ', which PostgreSQL keeps from everybody'),
    ...held.parameters.map((what) => `may ${what}`),
    ...held.servers.map((name) => `may use the foreign server ${name}`),
  ];
}

/** So many names are shown; the large objects' writers are all of them. */
const SHOWN = 10;

function listed(names: readonly string[]): string {
  const more = names.length - SHOWN;
  return names.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

const WORDS: Readonly<Record<TablePrivilege, string>> = {
  SELECT: 'select from',
  INSERT: 'insert',
  UPDATE: 'update',
  DELETE: 'delete',
  TRUNCATE: 'truncate',
  REFERENCES: 'refer to',
  TRIGGER: 'make triggers on',
  MAINTAIN: 'maintain',
};
const COLUMN_WORDS: Readonly<Record<ColumnPrivilege, string>> = {
  INSERT: 'insert',
  UPDATE: 'change',
  REFERENCES: 'refer to',
};
const SEQUENCE_WORDS: Readonly<Record<SequencePrivilege, string>> = {
  USAGE: 'draw numbers from',
  SELECT: 'read',
  UPDATE: 'set',
};

function excessOf(account: Account, held: HeldRelation): string[] {
  const name = `${held.schema}.${held.name}`;
  const needed = rightsOn(account, held);
  const wanted = new Set<TablePrivilege>(needed.flatMap(({ privileges }) => [...privileges]));
  const defined = account.defines.has(name) || account.defines.has(`${held.schema}.*`);
  if (held.owned) return defined ? [] : [`owns ${name}`];
  const whole = TABLE_PRIVILEGES.filter((one) => held.privileges.has(one) && !wanted.has(one)).map(
    (one) => `may ${WORDS[one]} ${name}`,
  );
  const columns = wanted.has('SELECT') ? readColumns(needed) : new Set<string>();
  const wholeIsNamed = held.privileges.has('SELECT') && !wanted.has('SELECT');
  const more = columns === null || wholeIsNamed ? [] : [...held.readable].filter((column) => !columns.has(column));
  const some = COLUMN_PRIVILEGES.filter((one) => !wanted.has(one) && held.columnsOnly[one].length > 0).map(
    (one) => `may ${COLUMN_WORDS[one]} ${held.columnsOnly[one].join(', ')} of ${name}`,
  );
  return [...whole, ...(more.length > 0 ? [`may read ${more.join(', ')} of ${name}`] : []), ...some];
}

function excessOfSequence(account: Account, held: HeldSequence): string[] {
  const name = `${held.schema}.${held.name}`;
  if (held.owned) return account.defines.size > 0 ? [] : [`owns the sequence ${name}`];
  const wanted = wantedOf(account, held);
  return SEQUENCE_PRIVILEGES.filter((one) => held.privileges.has(one) && !wanted.has(one)).map(
    (one) => `may ${SEQUENCE_WORDS[one]} the sequence ${name}`,
  );
}

/** Who inserts draws the numbers of serial columns; a rule may also name the sequence itself, or nextval and setval. */
function wantedOf(account: Account, sequence: HeldSequence): ReadonlySet<SequencePrivilege> {
  const { functions } = account;
  const wanted = new Set<SequencePrivilege>();
  if (drawsFrom(account, sequence) || functions.has('pg_catalog.nextval')) wanted.add('USAGE');
  if (functions.has('pg_catalog.setval')) wanted.add('UPDATE');
  if (rightsOn(account, sequence).some(({ privileges }) => privileges.has('SELECT'))) wanted.add('SELECT');
  return wanted;
}

function drawsFrom(account: Account, { schema, of }: HeldSequence): boolean {
  return account.relations.some(
    (one) =>
      one.privileges.has('INSERT') && (one.name === null ? one.schema === schema : `${one.schema}.${one.name}` === of),
  );
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
  const undrawn = held.sequences.filter((one) => mayInsert(account, held, one) && !one.owned && !mayDraw(one));
  const functions = [...account.functions].filter(
    (name) => !isSystem(name.split('.')[0] ?? '') && !held.functions.has(name),
  );
  return [
    ...missingRelations(account, held),
    ...own.filter((schema) => !held.schemas.has(schema)).map((schema) => `may not use the schema ${schema}`),
    ...new Set(missing),
    ...undrawn.map(({ schema, name }) => `may not draw numbers from the sequence ${schema}.${name}`),
    ...functions.map((name) => `may not call ${name}, or there is no such function`),
  ];
}

/** Where it may not insert either, that is said already. */
function mayInsert(account: Account, held: HeldRights, sequence: HeldSequence): boolean {
  const table = held.relations.find(({ schema, name }) => `${schema}.${name}` === sequence.of);
  return table?.privileges.has('INSERT') === true && drawsFrom(account, sequence);
}

function mayDraw({ privileges }: HeldSequence): boolean {
  return privileges.has('USAGE') || privileges.has('UPDATE');
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

function find(held: HeldRights, { schema, name }: NeededRights): HeldRelation | HeldSequence | undefined {
  return [...held.relations, ...held.sequences].find((one) => one.schema === schema && one.name === name);
}

function isSystem(schema: string): boolean {
  return schema === 'information_schema' || schema.startsWith('pg_');
}
