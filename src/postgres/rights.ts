import type { ServicePolicy } from '../config/protocol.js';
import { type PostgresRole, type PostgresRule, type PostgresTarget, postgresRole } from './role.js';
import type { RuleKind } from './sql/analysis.js';

/** What PostgreSQL grants on a relation, as far as rules speak of it. */
const PRIVILEGES = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] as const;
export type Privilege = (typeof PRIVILEGES)[number];

/** Everything that PostgreSQL grants on a relation; no rule needs the others. MAINTAIN since PostgreSQL 17. */
export const TABLE_PRIVILEGES = [...PRIVILEGES, 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN'] as const;
export type TablePrivilege = (typeof TABLE_PRIVILEGES)[number];
/** What it grants on single columns, reading aside. */
export const COLUMN_PRIVILEGES = ['INSERT', 'UPDATE', 'REFERENCES'] as const;
export type ColumnPrivilege = (typeof COLUMN_PRIVILEGES)[number];
export const SEQUENCE_PRIVILEGES = ['USAGE', 'SELECT', 'UPDATE'] as const;
export type SequencePrivilege = (typeof SEQUENCE_PRIVILEGES)[number];

/** What a rule's kinds need of the account. EXPLAIN and SHOW need nothing of their own; definitions need ownership. */
const NEEDED_BY: Readonly<Record<RuleKind, readonly Privilege[]>> = {
  select: ['SELECT'],
  'copy-out': ['SELECT'],
  explain: [],
  show: [],
  insert: ['INSERT'],
  'copy-in': ['INSERT'],
  update: ['UPDATE'],
  delete: ['DELETE'],
  merge: ['INSERT', 'UPDATE', 'DELETE'],
  ddl: [],
};

/** What the roles of one account need of one relation, or of every relation of a schema. */
export interface NeededRights {
  readonly schema: string;
  /** Null: every relation of the schema. */
  readonly name: string | null;
  readonly privileges: ReadonlySet<Privilege>;
  /** The only columns that may be read; null: all of them. */
  readonly columns: ReadonlySet<string> | null;
}

/** One login on one database, with everything that the policy wants of it. */
export interface Account {
  readonly target: PostgresTarget;
  readonly roles: readonly PostgresRole[];
  /** One of the roles may do anything: nothing about the account can be too much. */
  readonly any: boolean;
  readonly readOnly: boolean;
  readonly relations: readonly NeededRights[];
  /** `schema.name` of functions (and types) that rules name, PostgreSQL's own included. */
  readonly functions: ReadonlySet<string>;
  /** Relations (`schema.name`, `schema.*`) that a rule lets be defined anew: they need an owner's rights. */
  readonly defines: ReadonlySet<string>;
  readonly schemas: ReadonlySet<string>;
}

/** The accounts that a service's roles log in with, each once. */
export function accountsOf(service: ServicePolicy<unknown, unknown>): readonly Account[] {
  const accounts = new Map<string, PostgresRole[]>();
  for (const one of service.roles.values()) {
    const role = postgresRole(one);
    const { host, port, database, user } = role.upstream;
    const key = JSON.stringify([host, port, database, user]);
    accounts.set(key, [...(accounts.get(key) ?? []), role]);
  }
  return [...accounts.values()].flatMap((roles) => accountOf(roles) ?? []);
}

function accountOf(roles: readonly PostgresRole[]): Account | undefined {
  const [first] = roles;
  if (first === undefined) return undefined;
  const rules = roles.flatMap((role) => role.rules);
  const relations = neededBy(rules);
  const functions = new Set(rules.flatMap((rule) => [...rule.functions]));
  const defines = new Set(rules.filter(({ kinds }) => kinds.has('ddl')).flatMap((rule) => [...rule.relations]));
  const named = [...functions, ...defines].map((name) => name.split('.')[0] ?? '');
  const schemas = new Set([
    ...relations.map(({ schema }) => schema),
    ...roles.flatMap((role) => role.searchPath),
    ...named,
  ]);
  return {
    target: first.upstream,
    roles,
    any: roles.some((role) => role.any),
    readOnly: roles.every((role) => role.readOnly),
    relations,
    functions,
    defines,
    schemas,
  };
}

function neededBy(rules: readonly PostgresRule[]): readonly NeededRights[] {
  const needed = new Map<string, NeededRights>();
  for (const rule of rules) {
    const privileges = [...rule.kinds].flatMap((kind) => NEEDED_BY[kind]);
    for (const text of privileges.length > 0 ? rule.relations : []) {
      const [schema = '', name = ''] = text.split('.');
      const known = needed.get(text);
      needed.set(text, {
        schema,
        name: name === '*' ? null : name,
        privileges: new Set([...(known?.privileges ?? []), ...privileges]),
        columns: privileges.includes('SELECT') ? bothColumns(known, rule.columns) : (known?.columns ?? null),
      });
    }
  }
  return [...needed.values()];
}

function bothColumns(known: NeededRights | undefined, columns: ReadonlySet<string> | null): ReadonlySet<string> | null {
  if (known === undefined || !known.privileges.has('SELECT')) return columns;
  return known.columns === null || columns === null ? null : new Set([...known.columns, ...columns]);
}
