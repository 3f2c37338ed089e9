import { type Decision, deny } from '../policy/decision.js';
import { type Catalog, type CatalogCast, type CatalogType, find, relationIn, resolveIn } from './catalog/catalog.js';
import type { UsedRules } from './grants.js';
import type { Attribute, Call, Reference, Source, Statement, TypeUse } from './sql/analysis.js';
import { isBuiltIn } from './sql/functions.js';

/** Object identifiers below this are PostgreSQL's own. */
const FIRST_MADE = 16_384;
/** Words for a column with a sequence (parse_utilcmd.c): no types. */
const SERIALS: ReadonlySet<string> = new Set('serial serial2 serial4 serial8 bigserial smallserial'.split(' '));

/** The types of other making that values of a statement can have; `any` when that cannot be told. */
type Present = ReadonlySet<number> | 'any';
const NONE: Present = new Set();
const JSON_TYPES: ReadonlySet<string> = new Set(['json', 'jsonb']);

/**
 * Refuses what looks harmless in the text and runs code that somebody put into the database: `o.f` and `(x).f` that call
 * a function, overloads of PostgreSQL's own functions, operators, casts and types of other making. A rule that names the
 * function (for an operator or a cast: the one behind it) or the type under `functions:` allows it.
 */
export class HiddenCalls {
  readonly #catalog: Catalog;
  readonly #schema: string;
  readonly #rules: UsedRules;

  constructor(catalog: Catalog, schema: string, rules: UsedRules) {
    this.#catalog = catalog;
    this.#schema = schema;
    this.#rules = rules;
  }

  /** The refusal of what the statement hides, or null. */
  refuse(statement: Statement): Decision | null {
    for (const call of statement.functions) {
      const refusal = this.#overload(call);
      if (refusal) return refusal;
    }
    for (const reference of statement.references) {
      const refusal = this.#reference(reference);
      if (refusal) return refusal;
    }
    for (const type of statement.types) {
      const refusal = this.#type(type);
      if (refusal) return refusal;
    }
    const present = this.#catalog.operators.size + this.#catalog.casts.length > 0 ? this.#present(statement) : NONE;
    for (const operator of statement.operators) {
      const refusal = this.#operator(operator, present);
      if (refusal) return refusal;
    }
    return this.#attributes(statement.attributes) ?? this.#casts(statement, present);
  }

  /**
   * The refusal of parameters that a Parse message declares to be of these types, or null: they bring values of types that
   * the text does not show. An enum that nothing was made for, and what an extension brings, is harmless.
   */
  declared(types: readonly number[]): Decision | null {
    for (const id of types) {
      const type = this.#catalog.types.get(this.#catalog.types.get(id)?.element || id);
      const element = this.#catalog.types.get(id)?.element || id;
      if (type?.extension || (type?.kind === 'e' && !this.#hasOperations(element))) continue;
      const name = type ? `${type.schema}.${type.name}` : `number ${id}`;
      const hint = 'declare the parameter as text and leave its type to the statement';
      return deny(
        'unknown_effect',
        'types of parameters',
        `a parameter of the type ${name} may run code of its own`,
        hint,
      );
    }
    return null;
  }

  #hasOperations(type: number): boolean {
    if (this.#catalog.casts.some(({ source, target }) => source === type || target === type)) return true;
    const named = [...this.#catalog.operators.values()].flatMap((names) => [...names.values()].flat());
    return named.some(({ left, right }) => left === type || right === type);
  }

  /** Whether a bare name's field is surely a column of a relation that the name stands for. */
  isColumn({ of, name }: Attribute): boolean {
    return of !== null && this.#isColumnOf(of, of.fields[0] ?? '', undefined, name);
  }

  /** Which of two functions of one name runs depends on the types of the arguments, which the text does not tell. */
  #overload({ schema, name }: Call): Decision | null {
    if (schema === null && isBuiltIn(name)) {
      const made = find(this.#catalog.functions, this.#schema, name)?.made;
      const refusal = (made ? this.#unnamed(`${name}(…)`, `${this.#schema}.${name}`) : null) ?? this.#castTo(name);
      if (refusal) return refusal;
    }
    if (schema !== null && schema !== 'pg_catalog') return null;
    return find(this.#catalog.functions, 'pg_catalog', name) ? this.#unnamed(`${name}(…)`, `pg_catalog.${name}`) : null;
  }

  /** PostgreSQL takes `o.f` for a column first, and for `f(o)` when there is none (parse_func.c, ParseFuncOrColumn). */
  #reference(reference: Reference): Decision | null {
    const { fields, star } = reference;
    const [name = '', alias = '', schema] = fields.toReversed();
    if (star || fields.length < 2) return null;
    const made = this.#made(name, 'takesRow');
    const domain = this.#typeMeant(name)?.kind === 'd';
    if ((made === null && !domain) || this.#isColumnOf(reference, alias, schema, name)) return null;
    // A row can only be cast to a domain over it this way (parse_func.c, func_get_detail).
    return (made === null ? null : this.#unnamed(`${alias}.${name}`, made)) ?? (domain ? this.#castTo(name) : null);
  }

  #attributes(attributes: readonly Attribute[]): Decision | null {
    for (const attribute of attributes) {
      if (this.isColumn(attribute)) continue;
      const { name } = attribute;
      const made = this.#made(name, 'takesOne');
      const refusal = (made === null ? null : this.#unnamed(`(…).${name}`, made)) ?? this.#castTo(name);
      if (refusal) return refusal;
    }
    return null;
  }

  #made(name: string, how: 'takesRow' | 'takesOne'): string | null {
    for (const schema of [this.#schema, 'pg_catalog']) {
      if (find(this.#catalog.functions, schema, name)?.[how]) return `${schema}.${name}`;
    }
    return null;
  }

  #isColumnOf({ visible }: Reference, alias: string, schema: string | undefined, column: string): boolean {
    const items = visible.filter((item) => item.alias === alias && (schema === undefined || this.#isIn(item, schema)));
    return items.length > 0 && items.every((item) => this.#has(item, column));
  }

  #isIn({ relation }: Source, schema: string): boolean {
    return relation === null || resolveIn(this.#catalog, relation, this.#schema).schema === schema;
  }

  #has({ relation, whole }: Source, column: string): boolean {
    if (relation === null || whole) return false;
    const known = relationIn(this.#catalog, resolveIn(this.#catalog, relation, this.#schema));
    return known?.columns.includes(column) ?? false;
  }

  /**
   * One of PostgreSQL's own operators fits better than one for a type that cannot occur. Where it has none of that name,
   * literals without a type may become anything.
   */
  #operator(name: string, present: Present): Decision | null {
    const occurs = (type: number) => type < FIRST_MADE || present === 'any' || present.has(type);
    const own = this.#catalog.systemOperators.has(name);
    for (const schema of [this.#schema, 'pg_catalog']) {
      for (const { left, right, by } of find(this.#catalog.operators, schema, name) ?? []) {
        const refusal = !own || (occurs(left) && occurs(right)) ? this.#unnamed(`the operator ${name}`, by) : null;
        if (refusal) return refusal;
      }
    }
    return null;
  }

  /** An enum runs nothing; a domain runs its checks, a composite those of its fields, any other the code of its owner. */
  #type(use: TypeUse): Decision | null {
    if (this.#isSystemType(use)) return null;
    const type = this.#madeType(use);
    if (type === undefined) {
      const name = `${use.schema ?? this.#schema}.${use.name}`;
      return deny('unknown_effect', 'types that are not known', `nobody knows the type ${name}`, 'check its name');
    }
    if (type.kind === 'e' || type.extension) return null;
    return this.#unnamed(`the type ${type.name}`, `${type.schema}.${type.name}`);
  }

  /** `f(x)` and `(x).f` are casts where `f` is a type (parse_func.c, func_get_detail), even beside a function `f`. */
  #castTo(name: string): Decision | null {
    const type = this.#typeMeant(name);
    // An enum runs nothing, and what has the name of a table is never taken for a cast (parse_func.c, FuncNameAsType).
    if (type === undefined || type.extension || type.kind === 'e' || type.kind === 'c') return null;
    return this.#unnamed(`a cast to ${type.name}`, `${type.schema}.${type.name}`);
  }

  /** The made type that an unqualified name means, or whose elements it means. */
  #typeMeant(name: string): CatalogType | undefined {
    return this.#isSystemType({ schema: null, name }) ? undefined : this.#madeType({ schema: null, name });
  }

  #isSystemType({ schema, name }: TypeUse): boolean {
    if (schema === 'information_schema') return true;
    if (schema === null && SERIALS.has(name)) return true;
    return (schema === null || schema === 'pg_catalog') && this.#catalog.systemTypes.has(name);
  }

  #madeType({ schema, name }: TypeUse): CatalogType | undefined {
    const planted = schema === null ? find(this.#catalog.typeNames, 'pg_catalog', name) : undefined;
    const type = planted ?? find(this.#catalog.typeNames, schema ?? this.#schema, name);
    return type === undefined || type.element === 0 ? type : this.#catalog.types.get(type.element);
  }

  /** A cast that somebody made, when its types can occur here and it is asked for or applied by itself. */
  #casts(statement: Statement, present: Present): Decision | null {
    const occurs = (type: number) => present === 'any' || present.has(type);
    for (const cast of this.#catalog.casts) {
      const asked = isNamed(cast, statement.types) && (cast.source < FIRST_MADE || occurs(cast.source));
      // to_json and its like look for a cast of their own accord (jsonfuncs.c, json_categorize_type).
      const unasked =
        cast.implicit || JSON_TYPES.has(cast.targetName) || (cast.assigned && statement.writes.length > 0);
      const applied =
        unasked &&
        ((cast.source < FIRST_MADE && cast.target < FIRST_MADE) ||
          occurs(cast.source) ||
          (cast.implicit && cast.target >= FIRST_MADE && occurs(cast.target)));
      const refusal = asked || applied ? this.#unnamed(`a cast to ${cast.targetName}`, cast.by) : null;
      if (refusal) return refusal;
    }
    return null;
  }

  #present(statement: Statement): Present {
    const found = new Set<number>();
    const isPlain = (type: number): boolean => {
      const made = this.#catalog.types.get(type);
      found.add(made?.element || type);
      return made === undefined || made.extension || made.kind === 'e' || made.kind === 'b';
    };
    const called = statement.functions.some(({ schema, name }) =>
      schema === null ? !isBuiltIn(name) : schema !== 'pg_catalog' && schema !== 'information_schema',
    );
    if (called) return 'any';
    for (const use of statement.types) {
      const named = find(this.#catalog.typeNames, use.schema ?? this.#schema, use.name);
      if (named && !this.#isSystemType(use) && !isPlain(named.id)) return 'any';
    }
    for (const relation of [...statement.reads, ...statement.writes.map((write) => write.relation)]) {
      const resolved = resolveIn(this.#catalog, relation, this.#schema);
      if (resolved.schema === 'pg_catalog' || resolved.schema === 'information_schema') continue;
      const known = relationIn(this.#catalog, resolved);
      if (known === undefined) return 'any';
      if (!known.types.every(isPlain)) return 'any';
    }
    for (const type of this.#rowTypes(statement.references)) found.add(type);
    for (const { implicit, source, target } of this.#catalog.casts) {
      if (implicit && (source < FIRST_MADE || found.has(source))) found.add(target);
    }
    return found;
  }

  /** `o` alone, and `o.*` inside an expression, stand for a whole row of `orders o`. */
  *#rowTypes(references: readonly Reference[]): Iterable<number> {
    for (const { fields, star, visible } of references) {
      if (!star && fields.length !== 1) continue;
      for (const { alias, relation } of visible) {
        if (alias !== fields.at(-1) || relation === null) continue;
        yield relationIn(this.#catalog, resolveIn(this.#catalog, relation, this.#schema))?.rowType ?? 0;
      }
    }
  }

  /** The refusal of what runs `by`, unless a rule names it. */
  #unnamed(what: string, by: string): Decision | null {
    if (this.#rules.names(by)) return null;
    const message = `${what} may run ${by}, which is not PostgreSQL's own`;
    const hint = `it takes a rule { statements: [select], functions: [${by}] }`;
    return deny('unknown_effect', `no rule names ${by}`, message, hint);
  }
}

function isNamed(cast: CatalogCast, types: readonly TypeUse[]): boolean {
  return types.some(({ name }) => name === cast.targetName || name === `_${cast.targetName}`);
}
