import type { Call, Relation, Statement, TypeUse, Verb, Write } from './analysis.js';
import type { Walker } from './walk.js';

/** A statement of which only the verb is known yet. */
export function plain(verb: Verb, rest: Partial<Statement> = {}): Statement {
  return { ...EMPTY, verb, what: verb, ...rest };
}

const EMPTY: Statement = {
  verb: 'other',
  what: 'this statement',
  reads: [],
  writes: [],
  locks: [],
  functions: [],
  references: [],
  attributes: [],
  operators: [],
  types: [],
  unknown: null,
  body: null,
  defines: null,
  runs: null,
  drops: null,
  setting: null,
  transaction: null,
};

/** A statement whose effect nobody knows. */
export function unknownStatement(why: string): Statement {
  return plain('other', { unknown: why });
}

/** The statement that a walker has seen. */
export function seen(verb: Verb, walker: Walker, rest: Partial<Statement> = {}): Statement {
  return plain(verb, {
    reads: distinct(walker.reads, relationKey),
    writes: distinct(walker.writes, writeKey),
    locks: distinct(walker.locks, relationKey),
    functions: distinct(walker.functions, callKey),
    references: walker.references,
    attributes: walker.attributes,
    operators: [...walker.operators],
    types: distinct(walker.types, relationKey),
    unknown: walker.unknown,
    ...rest,
  });
}

/** A statement that only `any` reaches; `what` names it for the person who is refused. */
export function other(what: string): Statement {
  return plain('other', { what });
}

function callKey(call: Call): string {
  const { sets } = call;
  return sets === undefined ? relationKey(call) : `${relationKey(call)}\0${sets.name}\0${JSON.stringify(sets.value)}`;
}

function relationKey({ schema, name }: Relation | Call | TypeUse): string {
  return `${schema ?? ''}\0${name}`;
}

function writeKey({ verb, relation }: Write): string {
  return `${verb}\0${relationKey(relation)}`;
}

function distinct<T>(items: readonly T[], key: (item: T) => string): readonly T[] {
  if (items.length < 2) return items;
  return [...new Map(items.map((item) => [key(item), item])).values()];
}
