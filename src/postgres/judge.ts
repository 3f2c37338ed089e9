import { type Decision, deny } from '../policy/decision.js';
import type { PostgresRole } from './policy.js';
import type { Call, Relation, RuleKind, Setting, Statement, Transaction, WriteKind } from './sql/analysis.js';
import { nameOf, resolve } from './sql/analysis.js';
import { READABLE_CATALOGS, READABLE_INFORMATION_SCHEMA, SHOWING_CATALOGS } from './sql/catalogs.js';
import {
  ALLOWED_FUNCTIONS,
  INFORMATION_SCHEMA_FUNCTIONS,
  NAMED_FUNCTIONS,
  NEVER_FUNCTIONS,
  SHOWING_FUNCTIONS,
} from './sql/functions.js';
import { mayReset, maySet } from './sql/settings.js';

/** The kinds of rule that reading a relation takes where it stands: one rule for each of them. */
const READING: readonly RuleKind[] = ['select'];
const EXPLAINING: readonly RuleKind[] = ['explain', 'select'];
const COPYING: readonly RuleKind[] = ['copy-out'];

/** Holds statements against one role. `used` gathers the rules that granted something. */
export class Judge {
  readonly used = new Set<string>();
  readonly #role: PostgresRole;
  readonly #schema: string | undefined;

  constructor(role: PostgresRole) {
    this.#role = role;
    this.#schema = role.searchPath[0];
  }

  /** The refusal of a statement and what it contains, or null. */
  statement(statement: Statement, reading: readonly RuleKind[] = READING): Decision | null {
    const kinds = readingOf(statement, reading);
    return (
      this.#effect(statement) ??
      this.#kind(statement) ??
      first(statement.functions, (call) => this.#call(call)) ??
      first(statement.writes, ({ verb, relation }) => this.#write(verb, relation, kinds)) ??
      first(statement.locks, (relation) => this.#lock(relation)) ??
      first(statement.reads, (relation) => this.#read(relation, kinds)) ??
      (statement.setting ? this.#setting(statement.setting) : null) ??
      (statement.transaction ? this.#transaction(statement.transaction) : null) ??
      (statement.body ? this.statement(statement.body, kinds) : null)
    );
  }

  #effect({ verb, unknown, what }: Statement): Decision | null {
    if (verb === 'other') {
      const hint = `only a role with { statements: [any] } may; ${this.#role.name} has none`;
      return deny('out_of_scope', `no rule allows ${what}`, `${what} is outside the role ${this.#role.name}`, hint);
    }
    if (unknown === null) return null;
    return deny('unknown_effect', 'what is not known is refused', `what ${what} would do is not known: ${unknown}`);
  }

  /** EXPLAIN and COPY take a rule of their kind even when they touch nothing; SHOW has no relation at all. */
  #kind({ verb }: Statement): Decision | null {
    if (verb !== 'explain' && verb !== 'copy-out' && verb !== 'show') return null;
    return this.#anyRule(verb);
  }

  #anyRule(kind: RuleKind): Decision | null {
    const rule = this.#role.rules.find((one) => one.kinds.has(kind));
    if (!rule) return this.#missing(kind, null);
    this.used.add(rule.text);
    return null;
  }

  #read(named: Relation, kinds: readonly RuleKind[]): Decision | null {
    const relation = resolve(named, this.#schema);
    const readable = relation.schema === 'pg_catalog' ? READABLE_CATALOGS : READABLE_INFORMATION_SCHEMA;
    if (isSystem(relation) && readable.has(relation.name)) return null;
    if (relation.schema === 'pg_catalog' && SHOWING_CATALOGS.has(relation.name)) return this.#anyRule('show');
    return first(kinds, (kind) => this.#granted(kind, relation));
  }

  #write(verb: WriteKind, named: Relation, kinds: readonly RuleKind[]): Decision | null {
    const relation = resolve(named, this.#schema);
    if (isSystem(relation)) return this.#missing(verb, relation);
    return this.#granted(verb, relation) ?? (kinds.includes('explain') ? this.#granted('explain', relation) : null);
  }

  #lock(named: Relation): Decision | null {
    const relation = resolve(named, this.#schema);
    if (isSystem(relation)) return this.#missing('update', relation);
    return this.#granted('update', relation);
  }

  #granted(kind: RuleKind, relation: Relation): Decision | null {
    const name = nameOf(relation);
    const wide = `${relation.schema ?? ''}.*`;
    const rule = this.#role.rules.find(
      ({ kinds, relations }) => kinds.has(kind) && (relations.has(name) || relations.has(wide)),
    );
    if (!rule) return this.#missing(kind, relation);
    this.used.add(rule.text);
    return null;
  }

  #missing(kind: RuleKind, relation: Relation | null): Decision {
    const what = relation ? `${kind} on ${nameOf(relation)}` : kind;
    const rule = relation ? `{ statements: [${kind}], relations: [${nameOf(relation)}] }` : `{ statements: [${kind}] }`;
    const hint =
      relation && isSystem(relation) && kind !== 'select'
        ? 'system relations are never written through a restricted role'
        : `it takes a rule ${rule}`;
    return deny('out_of_scope', `no rule allows ${what}`, `${what} is outside the role ${this.#role.name}`, hint);
  }

  #call(call: Call): Decision | null {
    const { name } = call;
    if (call.schema === 'information_schema' && INFORMATION_SCHEMA_FUNCTIONS.has(name)) return null;
    const builtIn = call.schema === 'pg_catalog' || (call.schema === null && isBuiltIn(name));
    if (builtIn && ALLOWED_FUNCTIONS.has(name)) return null;
    if (builtIn && SHOWING_FUNCTIONS.has(name)) return this.#anyRule('show');
    const schema = builtIn ? 'pg_catalog' : (call.schema ?? this.#schema ?? '');
    const qualified = `${schema}.${name}`;
    const rule = this.#role.rules.find(({ functions }) => functions.has(qualified));
    if (!rule || (builtIn && NEVER_FUNCTIONS.has(name))) return this.#missingFunction(qualified, builtIn);
    this.used.add(rule.text);
    return null;
  }

  #missingFunction(name: string, builtIn: boolean): Decision {
    const hint =
      builtIn && NEVER_FUNCTIONS.has(name.slice('pg_catalog.'.length))
        ? 'no rule can grant it: it runs SQL text, or reaches settings, files or the server'
        : `it takes a rule { statements: [select], functions: [${name}] }`;
    const message = `the function ${name} is outside the role ${this.#role.name}`;
    return deny('out_of_scope', `no rule allows calling ${name}`, message, hint);
  }

  #setting({ name, value, kind }: Setting): Decision | null {
    if (kind === 'show' || name === null) return null;
    if (kind === 'reset' ? mayReset(name) : maySet(name, value ?? '')) return null;
    const shown = kind === 'reset' ? `resetting ${name}` : `setting ${name}${mayReset(name) ? ' to this value' : ''}`;
    const hint = 'the gateway sets what a restricted role needs when it connects';
    return deny('out_of_scope', `no rule allows ${shown}`, `${shown} is outside the role ${this.#role.name}`, hint);
  }

  #transaction({ kind, readWrite }: Transaction): Decision | null {
    if (!readWrite || (kind !== 'session' && !this.#role.readOnly)) return null;
    const message = `a READ WRITE transaction is outside the role ${this.#role.name}`;
    return deny('out_of_scope', 'no rule allows READ WRITE', message, 'leave READ WRITE out');
  }
}

function readingOf(statement: Statement, outer: readonly RuleKind[]): readonly RuleKind[] {
  if (statement.verb === 'explain') return EXPLAINING;
  return statement.verb === 'copy-out' ? COPYING : outer;
}

function isBuiltIn(name: string): boolean {
  return (
    ALLOWED_FUNCTIONS.has(name) || NAMED_FUNCTIONS.has(name) || NEVER_FUNCTIONS.has(name) || SHOWING_FUNCTIONS.has(name)
  );
}

function isSystem({ schema }: Relation): boolean {
  return schema === 'information_schema' || (schema?.startsWith('pg_') ?? false);
}

function first<T>(items: readonly T[], judge: (item: T) => Decision | null): Decision | null {
  for (const item of items) {
    const refusal = judge(item);
    if (refusal) return refusal;
  }
  return null;
}
