import type { Call, Relation, Write, WriteKind } from './analysis.js';
import { POSITIONS, SHAPES, type Shape } from './shapes.js';
import { type Fields, isFields, listOf, namesOf, nodeOf, textOf } from './tree.js';

/** Names that WITH gave to queries, from the innermost outwards. They hide unqualified relations of the same name. */
interface Scope {
  readonly names: ReadonlySet<string>;
  readonly outer: Scope | null;
}

/** Schemas whose operators, types, collations and methods are PostgreSQL's own. */
const BUILT_IN: ReadonlySet<string> = new Set(['pg_catalog', 'information_schema']);

/** One item of FROM that a FOR UPDATE can name, with the stretch of `reads` that it brought. */
interface FromLeaf {
  readonly name: string | null;
  readonly from: number;
  readonly to: number;
}

/**
 * Walks a statement and notes everything it touches. Knows the closed list of shapes.ts; whatever is not in it is
 * noted as unknown, and nothing below it matters any more.
 */
export class Walker {
  readonly reads: Relation[] = [];
  readonly writes: Write[] = [];
  readonly locks: Relation[] = [];
  readonly functions: Call[] = [];
  unknown: string | null = null;
  readonly #stretches = new Map<Fields, readonly [from: number, to: number]>();

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

  /** The relation of a RangeVar's fields; one in another database is unknown. */
  relation(value: unknown): Relation | null {
    const name = isFields(value) ? textOf(value.relname) : null;
    if (!isFields(value) || name === null || textOf(value.catalogname) !== null) {
      this.refuse('a relation that is not schema.name');
      return null;
    }
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
    else if (kind === 'names') this.#qualified('a type, collation or method', value, null);
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

  #read(fields: Fields, scope: Scope | null): void {
    this.#generic('RangeVar', fields, scope);
    const relation = this.relation(fields);
    if (relation && !(relation.schema === null && isNamed(relation.name, scope))) this.reads.push(relation);
  }

  #call(fields: Fields, scope: Scope | null): void {
    const names = namesOf(fields.funcname) ?? [];
    const name = names.at(-1);
    if (name === undefined || names.length > 2) this.refuse('a function that is not schema.name');
    else this.functions.push({ schema: names.length === 2 ? (names[0] ?? null) : null, name });
    this.walkShaped('FuncCall', fields, FUNC_CALL, scope);
  }

  #select(fields: Fields, outer: Scope | null): void {
    const scope = this.#with(fields.withClause, outer);
    if (isFields(fields.intoClause)) this.write('ddl', fields.intoClause.rel);
    this.#generic('SelectStmt', fields, scope);
    for (const clause of listOf(fields.lockingClause)) this.#lock(clause, fields.fromClause);
  }

  #change(tag: keyof typeof CHANGES, fields: Fields, outer: Scope | null): void {
    const scope = this.#with(fields.withClause, outer);
    const target = this.write(CHANGES[tag], fields.relation);
    this.#generic(tag, fields, scope);
    const conflict = nodeActionOf(fields.onConflictClause);
    if (conflict === 'ONCONFLICT_UPDATE') this.write('update', fields.relation);
    // PostgreSQL asks for SELECT on what is read of the target: by RETURNING, by WHERE, by SET x = x + 1.
    const readsTarget =
      tag !== 'InsertStmt' || fields.returningClause !== undefined || conflict === 'ONCONFLICT_UPDATE';
    if (target && readsTarget) this.reads.push(target);
  }

  /** The scope below a WITH. Without RECURSIVE a query sees only those before it; with it, all of them. */
  #with(clause: unknown, outer: Scope | null): Scope | null {
    if (!isFields(clause)) return outer;
    const queries = listOf(clause.ctes).map((item) => nodeOf(item));
    const recursive = clause.recursive === true;
    const names = new Set<string>();
    if (recursive) for (const query of queries) names.add(textOf(query?.fields.ctename) ?? '');
    const all: Scope = { names, outer };
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
    const node = nodeOf(clause);
    if (node?.tag !== 'LockingClause') {
      this.refuse('a malformed FOR UPDATE');
      return;
    }
    const leaves = listOf(from).flatMap((item) => this.#leaves(item));
    const names = listOf(node.fields.lockedRels).map((item) => textOf(nodeOf(item)?.fields.relname));
    const named = leaves.filter((leaf) => names.includes(leaf.name));
    const everyNameFound = names.length > 0 && names.every((name) => named.some((leaf) => leaf.name === name));
    for (const leaf of everyNameFound ? named : leaves) this.locks.push(...this.reads.slice(leaf.from, leaf.to));
  }

  #leaves(item: unknown): readonly FromLeaf[] {
    const node = nodeOf(item);
    if (!node) return [];
    const { tag, fields } = node;
    if (tag === 'JoinExpr' && fields.alias === undefined) {
      return [...this.#leaves(fields.larg), ...this.#leaves(fields.rarg)];
    }
    if (tag === 'JoinExpr') return [...this.#leaves(fields.larg), ...this.#leaves(fields.rarg)].map(unnamed);
    if (tag === 'RangeTableSample') return this.#leaves(fields.relation);
    const stretch = this.#stretches.get(fields);
    if (!stretch) return [];
    const alias = isFields(fields.alias) ? textOf(fields.alias.aliasname) : null;
    return [{ name: alias ?? textOf(fields.relname), from: stretch[0], to: stretch[1] }];
  }
}

const CHANGES = { InsertStmt: 'insert', UpdateStmt: 'update', DeleteStmt: 'delete', MergeStmt: 'merge' } as const;

const FUNC_CALL: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ['funcname', 'value'],
  ['args', 'node'],
  ['agg_order', 'node'],
  ['agg_filter', 'node'],
  ['over', { struct: 'WindowDef' }],
  ['agg_within_group', 'value'],
  ['agg_star', 'value'],
  ['agg_distinct', 'value'],
  ['func_variadic', 'value'],
  ['funcformat', 'value'],
]);

const COMMON_TABLE: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ['ctename', 'value'],
  ['aliascolnames', 'value'],
  ['ctematerialized', 'value'],
  ['ctequery', 'node'],
  ['search_clause', 'value'],
  ['cycle_clause', { struct: 'CTECycleClause' }],
  ['cterecursive', 'value'],
  ['cterefcount', 'value'],
]);

function isNamed(name: string, scope: Scope | null): boolean {
  for (let at = scope; at; at = at.outer) if (at.names.has(name)) return true;
  return false;
}

function nodeActionOf(clause: unknown): string | null {
  return isFields(clause) ? textOf(clause.action) : null;
}

function unnamed(leaf: FromLeaf): FromLeaf {
  return { ...leaf, name: null };
}
