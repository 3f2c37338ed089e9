import type { Attribute, Call, Reference, Relation, Source, TypeUse, Write, WriteKind } from './analysis.js';
import { aliasOf, conflictActionOf, impliedOperators, isStar, returningNames } from './columns.js';
import { lockedStretches, type Stretch } from './locks.js';
import { isNamed, type Scope, scopeIn, visibleFrom } from './scope.js';
import { settingChosen, settingOf } from './set-config.js';
import { COMMON_TABLE, FUNC_CALL, POSITIONS, SHAPES, type Shape } from './shapes.js';
import { type Fields, isFields, listOf, namesOf, nodeOf, textOf } from './tree.js';

/** Schemas whose operators, collations and operator classes are PostgreSQL's own. */
const BUILT_IN: ReadonlySet<string> = new Set(['pg_catalog', 'information_schema']);
/** Any other sampling method is a function that nobody named. */
const METHODS: ReadonlySet<string> = new Set(['bernoulli', 'system']);

/**
 * Walks a statement and notes everything it touches. Knows the closed list of shapes.ts; whatever is not in it is
 * noted as unknown, and nothing below it matters any more.
 */
export class Walker {
  readonly reads: Relation[] = [];
  readonly writes: Write[] = [];
  readonly locks: Relation[] = [];
  readonly functions: Call[] = [];
  readonly operators = new Set<string>();
  readonly types: TypeUse[] = [];
  unknown: string | null = null;
  readonly #references: { readonly fields: readonly string[]; readonly star: boolean; readonly scope: Scope }[] = [];
  readonly #attributes: { readonly name: string; readonly of: Fields | null; readonly scope: Scope }[] = [];
  readonly #stretches = new Map<Fields, Stretch>();
  /** What may be meant at each place, once everything is walked. */
  readonly #visible = new Map<Scope, readonly Source[]>();

  /** What is written like a column; complete once everything is walked. */
  get references(): readonly Reference[] {
    return this.#references.map(({ fields, star, scope }) => this.#reference(fields, star, scope));
  }

  /** The fields taken from expressions; complete once everything is walked. */
  get attributes(): readonly Attribute[] {
    return this.#attributes.map(({ name, of, scope }) => {
      const fields = of === null ? null : namesOf(of.fields);
      return { name, of: fields?.length === 1 ? this.#reference(fields, false, scope) : null };
    });
  }

  #reference(fields: readonly string[], star: boolean, scope: Scope): Reference {
    const visible = this.#visible.get(scope) ?? visibleFrom(scope);
    this.#visible.set(scope, visible);
    return { fields, star, own: scope.items, visible };
  }

  /** Notes why the effect is unknown; the first reason stays. */
  refuse(why: string): void {
    this.unknown ??= why;
  }

  /** Walks a node, or a list of nodes. */
  walk(value: unknown, scope: Scope | null = null): void {
    if (Array.isArray(value)) {
      for (const item of value) this.walk(item, scope);
      return;
    }
    const node = nodeOf(value);
    if (node) this.#visit(node.tag, node.fields, scope);
    else if (value !== undefined && !isFields(value)) this.refuse('a malformed parse tree');
  }

  /** Walks the fields of a node by a given shape; used for nodes that only stand at the top. */
  walkShaped(tag: string, fields: Fields, shape: ReadonlyMap<string, Shape>, scope: Scope | null = null): void {
    for (const [name, value] of Object.entries(fields)) {
      if (POSITIONS.has(name)) continue;
      const kind = shape.get(name);
      if (kind === undefined) this.refuse(`${tag}.${name}`);
      else this.#field(kind, value, scope);
    }
  }

  /** Notes the relation that a statement writes to. A name that WITH gave is no target: PostgreSQL takes the relation. */
  write(verb: WriteKind, value: unknown): Relation | null {
    const relation = this.relation(value);
    if (relation) this.writes.push({ verb, relation });
    return relation;
  }

  /** Notes that a relation is read whole, or these columns of it: COPY. */
  copy(relation: Relation, columns: readonly string[]): void {
    const scope = scopeIn(null);
    scope.items.push({ alias: relation.name, relation, whole: false });
    this.reads.push(relation);
    if (columns.length === 0) this.#references.push({ fields: [], star: true, scope });
    for (const column of columns) this.#references.push({ fields: [column], star: false, scope });
  }

  /** The relation of a RangeVar's fields; one in another database is unknown. */
  relation(value: unknown): Relation | null {
    const name = isFields(value) ? textOf(value.relname) : null;
    if (!isFields(value) || name === null || textOf(value.catalogname) !== null) {
      this.refuse('a relation that is not schema.name');
      return null;
    }
    // Not `public.orders` but the session's own: PostgreSQL looks there first.
    if (value.relpersistence === 't' && value.schemaname === undefined) return { schema: 'pg_temp', name };
    return { schema: textOf(value.schemaname), name };
  }

  #visit(tag: string, fields: Fields, scope: Scope | null): void {
    const before = this.reads.length;
    switch (tag) {
      case 'RangeVar':
        this.#read(fields, scope);
        break;
      case 'FuncCall':
        this.#call(fields, scope);
        break;
      case 'SelectStmt':
        this.#select(fields, scope);
        break;
      case 'InsertStmt':
      case 'UpdateStmt':
      case 'DeleteStmt':
      case 'MergeStmt':
        this.#change(tag, fields, scope);
        break;
      case 'JoinExpr':
        this.#join(fields, scope);
        break;
      case 'ColumnRef':
        this.#column(fields, scope);
        break;
      case 'A_Indirection':
        this.#indirection(fields, scope);
        break;
      case 'A_Expr':
      case 'CaseExpr':
      case 'SubLink':
        for (const operator of impliedOperators(tag, fields)) this.operators.add(operator);
        this.#generic(tag, fields, scope);
        break;
      case 'SortBy':
        for (const operator of namesOf(fields.useOp) ?? []) this.operators.add(operator);
        this.#generic(tag, fields, scope);
        break;
      case 'RangeSubselect':
      case 'RangeFunction':
      case 'RangeTableFunc':
      case 'JsonTable':
        this.#generic(tag, fields, scope);
        scope?.items.push({ alias: aliasOf(fields), relation: null, whole: true });
        break;
      default:
        this.#generic(tag, fields, scope);
    }
    if (tag.startsWith('Range')) this.#stretches.set(fields, [before, this.reads.length]);
  }

  #generic(tag: string, fields: Fields, scope: Scope | null): void {
    const shape = SHAPES.get(tag);
    if (shape) this.walkShaped(tag, fields, shape, scope);
    else this.refuse(tag);
  }

  #field(kind: Shape, value: unknown, scope: Scope | null): void {
    if (kind === 'value') return;
    if (kind === 'node') this.walk(value, scope);
    else if (kind === 'operator') this.#qualified('an operator', value, 'pg_catalog');
    else if (kind === 'names') this.#qualified('a collation or operator class', value, null);
    else if (kind === 'type') this.#type(value);
    else if (kind === 'method') this.#method(value);
    else if (isFields(value)) this.#visit(kind.struct, value, scope);
    else this.refuse('a malformed parse tree');
  }

  /** Unqualified, or PostgreSQL's own: anything else may run code that nobody named. */
  #qualified(what: string, value: unknown, only: string | null): void {
    const names = namesOf(value);
    const [schema] = names ?? [];
    if (!names || schema === undefined || names.length > 2) this.refuse(what);
    else if (names.length === 2 && (only === null ? !BUILT_IN.has(schema) : schema !== only)) {
      this.refuse(`${what} of schema ${schema}`);
    }
  }

  #type(value: unknown): void {
    const names = namesOf(value);
    const name = names?.at(-1);
    if (!names || name === undefined || names.length > 2) this.refuse('a type that is not schema.name');
    else this.types.push({ schema: names.length === 2 ? (names[0] ?? null) : null, name });
  }

  #method(value: unknown): void {
    const names = namesOf(value) ?? [];
    if (!METHODS.has(names.at(-1) ?? '') || (names.length > 1 && names[0] !== 'pg_catalog'))
      this.refuse('a sampling method');
  }

  #column(fields: Fields, scope: Scope | null): void {
    const list = listOf(fields.fields);
    const star = isStar(list.at(-1));
    const names = namesOf(star ? list.slice(0, -1) : list);
    if (names === null || (names.length === 0 && !star) || names.length > 3)
      this.refuse('a column that is not schema.table.column');
    else this.#references.push({ fields: names, star, scope: scope ?? scopeIn(null) });
  }

  /** `(x).a.b[1]`: every name is a field, or a function that takes what stands before it. */
  #indirection(fields: Fields, scope: Scope | null): void {
    this.#generic('A_Indirection', fields, scope);
    const base = nodeOf(fields.arg);
    for (const [index, item] of listOf(fields.indirection).entries()) {
      const node = nodeOf(item);
      const name = node?.tag === 'String' ? textOf(node.fields.sval) : null;
      const of = index === 0 && base?.tag === 'ColumnRef' ? base.fields : null;
      if (name !== null) this.#attributes.push({ name, of, scope: scope ?? scopeIn(null) });
    }
  }

  #join(fields: Fields, scope: Scope | null): void {
    const from = scope?.items.length ?? 0;
    this.#generic('JoinExpr', fields, scope);
    const columns = namesOf(fields.usingClause) ?? [];
    if (columns.length > 0 || fields.isNatural === true) this.operators.add('=');
    if (scope === null) return;
    for (const column of columns) this.#references.push({ fields: [column], star: false, scope });
    // What both sides have in common is compared: any column may be read.
    if (fields.isNatural === true) this.#references.push({ fields: [], star: true, scope });
    const alias = aliasOf(fields);
    if (alias !== null || fields.isNatural === true) {
      for (let at = from; at < scope.items.length; at += 1) scope.items[at] = { ...scope.items[at]!, whole: true };
    }
    for (const name of [alias, aliasOf({ alias: fields.join_using_alias })]) {
      if (name !== null) scope.items.push({ alias: name, relation: null, whole: true });
    }
  }

  #read(fields: Fields, scope: Scope | null): void {
    this.#generic('RangeVar', fields, scope);
    const relation = this.relation(fields);
    if (!relation) return;
    const query = relation.schema === null && isNamed(relation.name, scope);
    if (!query) this.reads.push(relation);
    const renamed = isFields(fields.alias) && listOf(fields.alias.colnames).length > 0;
    scope?.items.push({
      alias: aliasOf(fields) ?? relation.name,
      relation: query ? null : relation,
      whole: query || renamed,
    });
  }

  #call(fields: Fields, scope: Scope | null): void {
    const names = namesOf(fields.funcname) ?? [];
    const name = names.at(-1);
    if (name === undefined || names.length > 2) this.refuse('a function that is not schema.name');
    else {
      const sets = name === 'set_config' ? settingOf(fields, scope?.setting ?? null) : null;
      this.functions.push({ schema: names.length === 2 ? (names[0] ?? null) : null, name, ...(sets && { sets }) });
    }
    this.walkShaped('FuncCall', fields, FUNC_CALL, scope);
  }

  #select(fields: Fields, outer: Scope | null): void {
    const scope = scopeIn(this.#with(fields.withClause, outer), settingChosen(fields));
    if (isFields(fields.intoClause)) this.write('ddl', fields.intoClause.rel);
    this.#generic('SelectStmt', fields, scope);
    for (const clause of listOf(fields.lockingClause)) this.#lock(clause, fields.fromClause);
  }

  #change(tag: keyof typeof CHANGES, fields: Fields, outer: Scope | null): void {
    const around = this.#with(fields.withClause, outer);
    const scope = scopeIn(around);
    const target = this.write(CHANGES[tag], fields.relation);
    if (target) this.#target(target, fields, scope);
    // What an INSERT takes its rows from sees nothing of the target.
    const { selectStmt, ...rest } = fields;
    if (selectStmt !== undefined) this.walk(selectStmt, around);
    this.#generic(tag, rest, scope);
    const conflict = conflictActionOf(fields.onConflictClause);
    if (conflict === 'ONCONFLICT_UPDATE') this.write('update', fields.relation);
    // PostgreSQL asks for SELECT on what is read of the target: by RETURNING, by WHERE, by SET x = x + 1.
    const readsTarget =
      tag !== 'InsertStmt' || fields.returningClause !== undefined || conflict === 'ONCONFLICT_UPDATE';
    if (target && readsTarget) this.reads.push(target);
  }

  #target(relation: Relation, fields: Fields, scope: Scope): void {
    const alias = isFields(fields.relation) ? aliasOf(fields.relation) : null;
    const names = [alias ?? relation.name, 'excluded', ...returningNames(fields.returningClause)];
    for (const name of names) scope.items.push({ alias: name, relation, whole: false });
  }

  /** The scope below a WITH. Without RECURSIVE a query sees only those before it; with it, all of them. */
  #with(clause: unknown, outer: Scope | null): Scope | null {
    if (!isFields(clause)) return outer;
    const queries = listOf(clause.ctes).map((item) => nodeOf(item));
    const recursive = clause.recursive === true;
    const all = scopeIn(outer);
    const { names } = all;
    if (recursive) for (const query of queries) names.add(textOf(query?.fields.ctename) ?? '');
    for (const query of queries) {
      if (query?.tag !== 'CommonTableExpr') this.refuse('a malformed WITH');
      else this.walkShaped('CommonTableExpr', query.fields, COMMON_TABLE, all);
      // Added after its own walk: `all` is the same object, so later queries and the statement see it.
      names.add(textOf(query?.fields.ctename) ?? '');
    }
    return all;
  }

  /** FOR UPDATE/SHARE: the relations of the FROM items it names, or of all of them. */
  #lock(clause: unknown, from: unknown): void {
    const locked = lockedStretches(clause, from, this.#stretches);
    if (locked === null) this.refuse('a malformed FOR UPDATE');
    for (const [begin, end] of locked ?? []) this.locks.push(...this.reads.slice(begin, end));
  }
}

const CHANGES = { InsertStmt: 'insert', UpdateStmt: 'update', DeleteStmt: 'delete', MergeStmt: 'merge' } as const;
