import { type Decision, deny } from '../policy/decision.js';
import { type Catalog, resolveIn } from './catalog/catalog.js';
import { UsedRules } from './grants.js';
import { readBeyond, refuseColumns } from './judge-columns.js';
import { HiddenCalls } from './judge-hidden.js';
import { milliseconds, refuseTimeout } from './limits.js';
import { isPlainName } from './pinned.js';
import type { PostgresRole } from './role.js';
import type {
  Attribute,
  Call,
  Relation,
  RuleKind,
  Setting,
  Statement,
  Transaction,
  TypeUse,
  Verb,
  WriteKind,
} from './sql/analysis.js';
import { nameOf, resolve } from './sql/analysis.js';
import {
  COUNTABLE_CATALOGS,
  READABLE_CATALOGS,
  READABLE_INFORMATION_SCHEMA,
  SHOWING_CATALOGS,
} from './sql/catalogs.js';
import {
  ALLOWED_FUNCTIONS,
  INFORMATION_SCHEMA_FUNCTIONS,
  isBuiltIn,
  NEVER_FUNCTIONS,
  SHOWING_FUNCTIONS,
} from './sql/functions.js';
import { mayReset, maySet } from './sql/settings.js';

/** The kinds of rule that reading a relation takes where it stands: one rule for each of them. */
const READING: readonly RuleKind[] = ['select'];
const EXPLAINING: readonly RuleKind[] = ['explain', 'select'];
const COPYING: readonly RuleKind[] = ['copy-out'];
/** What touches nothing but the session. */
const STEERING: ReadonlySet<Verb> = new Set(['transaction', 'set', 'reset', 'show', 'close', 'deallocate', 'discard']);

/** Holds statements against one role, and what they name against the catalog of the database. */
export class Judge {
  readonly #rules: UsedRules;
  readonly #role: PostgresRole;
  readonly #schema: string | undefined;
  readonly #catalog: Catalog | null | undefined;
  readonly #hidden: HiddenCalls | null;

  /** @param catalog - null when it cannot be read; undefined when there is none to be had: by the grammar alone */
  constructor(role: PostgresRole, catalog: Catalog | null | undefined) {
    this.#role = role;
    this.#rules = new UsedRules(role);
    this.#schema = role.searchPath[0];
    this.#catalog = catalog;
    this.#hidden = catalog ? new HiddenCalls(catalog, this.#schema ?? '', this.#rules) : null;
  }

  /** The rules that granted something. */
  get used(): ReadonlySet<string> {
    return this.#rules.used;
  }

  /** The refusal of the types that a client declares for parameters, or null. */
  declared(types: readonly number[]): Decision | null {
    return types.length === 0 ? null : (this.#hidden?.declared(types) ?? null);
  }

  /** The refusal of a statement and what it contains, or null. */
  statement(statement: Statement, reading: readonly RuleKind[] = READING): Decision | null {
    const kinds = readingOf(statement, reading);
    return (
      this.#effect(statement) ??
      this.#unread(statement) ??
      this.#kind(statement) ??
      first(statement.functions, (call) => this.#call(call)) ??
      first(statement.attributes, (attribute) => this.#attribute(attribute)) ??
      (this.#hidden ? this.#hidden.refuse(statement) : first(statement.types, (type) => this.#type(type))) ??
      first(statement.writes, ({ verb, relation }) => this.#write(verb, relation, kinds)) ??
      first(statement.locks, (relation) => this.#lock(relation)) ??
      first(distinct(statement.reads), (relation) => this.#read(relation, kinds, statement)) ??
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

  /** Without its catalog nothing that names anything can be judged: what steers the session alone still passes. */
  #unread(statement: Statement): Decision | null {
    if (this.#catalog !== null || STEERING.has(statement.verb)) return null;
    const message = `${statement.what} cannot be judged: the catalog of the database cannot be read right now`;
    return deny('store_unavailable', 'the catalog cannot be read', message, 'try again in a moment');
  }

  /** EXPLAIN and COPY take a rule of their kind even when they touch nothing; SHOW has no relation at all. */
  #kind({ verb }: Statement): Decision | null {
    if (verb !== 'explain' && verb !== 'copy-out' && verb !== 'show') return null;
    return this.#anyRule(verb);
  }

  #anyRule(kind: RuleKind): Decision | null {
    return this.#rules.find((one) => one.kinds.has(kind)) ? null : this.#missing(kind, null);
  }

  #read(named: Relation, kinds: readonly RuleKind[], statement: Statement): Decision | null {
    const relation = this.#resolve(named);
    const readable = relation.schema === 'pg_catalog' ? READABLE_CATALOGS : READABLE_INFORMATION_SCHEMA;
    if (isSystem(relation) && readable.has(relation.name)) return null;
    if (relation.schema === 'pg_catalog' && SHOWING_CATALOGS.has(relation.name)) return this.#anyRule('show');
    if (this.#isCounted(relation, statement)) return null;
    return first(kinds, (kind) => this.#granted(kind, relation) ?? this.#columns(kind, relation, statement));
  }

  #isCounted(relation: Relation, statement: Statement): boolean {
    const part = relation.schema === 'pg_catalog' ? COUNTABLE_CATALOGS.get(relation.name) : undefined;
    if (part === undefined) return false;
    const limit = { relation, columns: part.columns, schema: this.#schema, catalog: this.#catalog ?? undefined };
    return readBeyond(statement, limit, { includes: (name) => part.all.test(name) }) === null;
  }

  /** Rules for the same columns and more add up; one rule without columns allows them all. */
  #columns(kind: RuleKind, relation: Relation, statement: Statement): Decision | null {
    const name = nameOf(relation);
    const wide = `${relation.schema ?? ''}.*`;
    const rules = this.#role.rules.filter(
      ({ kinds, relations }) => kinds.has(kind) && (relations.has(name) || relations.has(wide)),
    );
    if (rules.some((rule) => rule.columns === null)) return null;
    const columns = new Set(rules.flatMap((rule) => [...(rule.columns ?? [])]));
    return refuseColumns(statement, { relation, columns, schema: this.#schema, catalog: this.#catalog ?? undefined });
  }

  #write(verb: WriteKind, named: Relation, kinds: readonly RuleKind[]): Decision | null {
    const relation = this.#resolve(named);
    if (isSystem(relation)) return this.#missing(verb, relation);
    return this.#granted(verb, relation) ?? (kinds.includes('explain') ? this.#granted('explain', relation) : null);
  }

  #lock(named: Relation): Decision | null {
    const relation = this.#resolve(named);
    if (isSystem(relation)) return this.#missing('update', relation);
    return this.#granted('update', relation);
  }

  #granted(kind: RuleKind, relation: Relation): Decision | null {
    const name = nameOf(relation);
    const wide = `${relation.schema ?? ''}.*`;
    const rule = this.#rules.find(
      ({ kinds, relations }) => kinds.has(kind) && (relations.has(name) || relations.has(wide)),
    );
    return rule ? null : this.#missing(kind, relation);
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
    if (builtIn && call.sets && this.#setting(call.sets) === null) return null;
    const schema = builtIn ? 'pg_catalog' : (call.schema ?? this.#schema ?? '');
    const qualified = `${schema}.${name}`;
    if (builtIn && NEVER_FUNCTIONS.has(name)) return this.#missingFunction(qualified, builtIn);
    return this.#rules.names(qualified) ? null : this.#missingFunction(qualified, builtIn);
  }

  /** `(x).pg_read_file` calls the function as surely as `pg_read_file(x)` does. */
  #attribute(attribute: Attribute): Decision | null {
    const { name } = attribute;
    if (ALLOWED_FUNCTIONS.has(name) || !isBuiltIn(name) || this.#hidden?.isColumn(attribute)) return null;
    return this.#call({ schema: null, name });
  }

  /** A type by its name alone: PostgreSQL's own, or one that the upstream's search path settles. */
  #type({ schema, name }: TypeUse): Decision | null {
    if (schema === null || schema === 'pg_catalog' || schema === 'information_schema') return null;
    if (this.#rules.names(`${schema}.${name}`)) return null;
    return deny('unknown_effect', 'what is not known is refused', `what the type ${schema}.${name} runs is not known`);
  }

  #resolve(relation: Relation): Relation {
    return this.#catalog ? resolveIn(this.#catalog, relation, this.#schema) : resolve(relation, this.#schema);
  }

  #missingFunction(name: string, builtIn: boolean): Decision {
    const hint =
      builtIn && NEVER_FUNCTIONS.has(name.slice('pg_catalog.'.length))
        ? 'no rule can grant it: it runs SQL text, or reaches settings, files or the server'
        : `it takes a rule { statements: [select], functions: [${name}] }`;
    const message = `the function ${name} is outside the role ${this.#role.name}`;
    return deny('out_of_scope', `no rule allows calling ${name}`, message, hint);
  }

  #setting(setting: Setting): Decision | null {
    const { name, value, kind } = setting;
    if (kind === 'show' || name === null) return null;
    const long = kind === 'set' && name === 'statement_timeout' ? this.#tooLong(value ?? '') : null;
    if (long !== null)
      return deny(
        'out_of_scope',
        'statement_timeout of the role',
        `${long} in the role ${this.#role.name}`,
        'leave it as it is',
      );
    if (kind === 'reset' ? mayReset(name) : maySet(name, value)) return null;
    if (this.#keepsPath(setting)) return null;
    const shown = kind === 'reset' ? `resetting ${name}` : `setting ${name}${mayReset(name) ? ' to this value' : ''}`;
    const hint = 'the gateway sets what a restricted role needs when it connects';
    return deny('out_of_scope', `no rule allows ${shown}`, `${shown} is outside the role ${this.#role.name}`, hint);
  }

  /** Zero asks for no limit of one's own, as pg_dump does: that of the role is the gateway's to keep (relay.ts, `#checkTime`). */
  #tooLong(value: string): string | null {
    return milliseconds(value) === 0 ? null : refuseTimeout(value, this.#role.statementTimeout);
  }

  /**
   * Nothing to search leaves PostgreSQL's own: a name means what it is judged as, or nothing. But a trigger or a default that
   * finds nothing any more might go on without it: only where nothing is written. Back goes to what the role pins, as does
   * its own schema by name, which drivers and pools say (JDBC's `setSchema`).
   */
  #keepsPath({ name, value, kind }: Setting): boolean {
    if (name !== 'search_path') return false;
    const isPinned = value === this.#schema && isPlainName(value ?? '');
    return kind === 'reset' || isPinned || (value === '' && this.#role.readOnly);
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

function isSystem({ schema }: Relation): boolean {
  return schema === 'information_schema' || (schema?.startsWith('pg_') ?? false);
}

/** Each once: a thousand aliases of one relation are judged as one. */
function distinct(relations: readonly Relation[]): Iterable<Relation> {
  // No name holds a NUL, so that no two of them make one key.
  return new Map(relations.map((relation) => [`${relation.schema ?? ''}\0${relation.name}`, relation])).values();
}

function first<T>(items: Iterable<T>, judge: (item: T) => Decision | null): Decision | null {
  for (const item of items) {
    const refusal = judge(item);
    if (refusal) return refusal;
  }
  return null;
}
