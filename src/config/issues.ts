import { z } from 'zod';
import type { Path, SourceDocument } from './document.js';
import { didYouMean, nearest } from './nearest.js';
import type { Problem } from './protocol.js';

/** A problem that knows whether it is about a key or about a value. */
export interface Finding extends Problem {
  readonly part: 'key' | 'value';
}

type Issue = z.core.$ZodIssue;
type JsonSchema = z.core.JSONSchema.BaseSchema;

/** Either the value a schema made, or everything it found wrong. */
export type Judged<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** What `judge` looks at: a part of a file. */
export interface Part {
  readonly document: SourceDocument;
  /** Where the part stands in the file. */
  readonly path: Path;
  readonly value: unknown;
  /** Keys that may stand here although the schema does not know them. */
  readonly alsoKnown?: readonly string[];
}

/** Holds one part of a file against its schema; every finding has its path in the file. */
export function judge<T>(schema: z.ZodType<T>, part: Part): Judged<T> {
  const result = schema.safeParse(part.value);
  if (result.success) return { ok: true, value: result.data };
  return { ok: false, findings: result.error.issues.flatMap((issue) => findingsOf(issue, [], schema, part)) };
}

function findingsOf(issue: Issue, within: Path, schema: z.ZodType, part: Part): Finding[] {
  const inside = [...within, ...keysOf(issue.path)];
  const path = [...part.path, ...inside];
  if (issue.code === 'unrecognized_keys') {
    const known = [...(part.alsoKnown ?? []), ...knownKeys(schema, inside)];
    return issue.keys.map((key) => unknownKey([...path, key], key, known));
  }
  if (isMissing(issue, path, part)) {
    return [{ path, part: 'value', message: `missing key "${String(path.at(-1))}"` }];
  }
  if (issue.code === 'invalid_key') {
    return [{ path, part: 'key', ...messageAndHint(issue.issues[0]?.message ?? issue.message) }];
  }
  if (issue.code === 'invalid_union' && issue.message === 'Invalid input') {
    const branch = likeliestBranch(issue.errors);
    if (branch.length > 0) return branch.flatMap((inner) => findingsOf(inner, inside, schema, part));
  }
  return [{ path, part: 'value', ...wordsOf(issue, valueAt(part.value, inside)) }];
}

function valueAt(value: unknown, path: Path): unknown {
  const inner = (here: unknown, segment: string | number): unknown =>
    typeof here === 'object' && here !== null && Object.hasOwn(here, segment) ? Reflect.get(here, segment) : undefined;
  return path.reduce(inner, value);
}

function isMissing({ code }: Issue, path: Path, { document }: Part): boolean {
  const aboutAbsence = code === 'invalid_type' || code === 'invalid_union' || code === 'invalid_value';
  return aboutAbsence && typeof path.at(-1) === 'string' && !document.has(path) && document.has(path.slice(0, -1));
}

/**
 * Of the alternatives that all failed, the one that was most likely meant: of the value's kind, with the fewest keys that it does
 * not know, and complaints that lie deepest.
 */
function likeliestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] {
  const depth = (branch: readonly Issue[]) =>
    Math.max(...branch.map((issue) => issue.path.length + Number(issue.code !== 'invalid_type')));
  const unknown = (branch: readonly Issue[]) =>
    branch.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 0), 0);
  const ranked = branches.toSorted(
    (a, b) => Number(isOtherKind(a)) - Number(isOtherKind(b)) || unknown(a) - unknown(b) || depth(b) - depth(a),
  );
  return ranked[0] ?? [];
}

/** Whether an alternative is for a text, say, where a map stands. */
function isOtherKind(branch: readonly Issue[]): boolean {
  return branch.some((issue) => {
    if (issue.path.length > 0) return false;
    return issue.code === 'invalid_type' || (issue.code === 'invalid_union' && issue.errors.every(isOtherKind));
  });
}

/** An unknown key, with the nearest known one. */
function unknownKey(path: Path, key: string, known: readonly string[]): Finding {
  const hint = didYouMean(key, known);
  return { path, part: 'key', message: `unknown key "${key}"`, ...(hint === undefined ? {} : { hint }) };
}

/** A problem's words, unless the schema has words of its own: what would be right is said as one would write it. */
function wordsOf(issue: Issue, value: unknown): { message: string; hint?: string } {
  const told = messageAndHint(issue.message);
  if (issue.message.startsWith('Too ')) return boundWords(issue) ?? told;
  const hint = told.hint ?? hintFor(issue, value);
  return hint === undefined ? told : { ...told, hint };
}

function boundWords(issue: Issue): { message: string } | undefined {
  if (issue.code !== 'too_small' && issue.code !== 'too_big') return undefined;
  const bound = issue.code === 'too_small' ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
  const counted = { array: 'entries', string: 'characters' }[String(issue.origin)];
  const few = issue.code === 'too_small';
  if (counted === undefined) return { message: `too ${few ? 'small' : 'large'}: ${bound}` };
  return { message: `too ${few ? 'few' : 'many'} ${counted}: ${bound}` };
}

function hintFor(issue: Issue, value: unknown): string | undefined {
  if (issue.code === 'invalid_value' && typeof value === 'string') {
    const close = nearest(value, issue.values.map(String));
    return close === undefined ? undefined : `did you mean "${close}"?`;
  }
  if (issue.code !== 'invalid_type' || issue.expected !== 'array') return undefined;
  return ['string', 'number', 'boolean'].includes(typeof value) ? `write [${String(value)}]` : 'write [ … ]';
}

/** Splits what `hinted` joined, and puts zod's words for types into a policy writer's. */
function messageAndHint(text: string): { message: string; hint?: string } {
  const [first = '', ...rest] = text.split('\n');
  const message = first
    .replace(/^Invalid (?:input|option): /, '')
    .replace(/^expected (?:object|record)/, 'expected a map')
    .replace(/^expected array/, 'expected a list')
    .replace(/^expected int\b/, 'expected a whole number')
    .replace(/^expected boolean/, 'expected true or false')
    .replace(/received null$/, 'found nothing')
    .replace('received object', 'found a map')
    .replace('received array', 'found a list')
    .replace('received', 'found');
  return rest.length === 0 ? { message } : { message, hint: rest.join('\n') };
}

function keysOf(path: readonly PropertyKey[]): (string | number)[] {
  return path.map((segment) => (typeof segment === 'symbol' ? String(segment) : segment));
}

/** The keys a schema knows at a path, read from its JSON Schema, since that has one shape for every kind of schema. */
function knownKeys(schema: z.ZodType, path: Path): string[] {
  let here = alternatives(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
  for (const segment of path) here = here.flatMap((one) => step(one, segment)).flatMap(alternatives);
  return [...new Set(here.flatMap((one) => Object.keys(one.properties ?? {})))];
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  const inner = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  return [schema, ...inner.flatMap((one) => alternatives(one))];
}

function step(schema: JsonSchema, segment: string | number): JsonSchema[] {
  const next =
    typeof segment === 'number' ? schema.items : (schema.properties?.[segment] ?? schema.additionalProperties);
  return [next].flat().filter((one) => typeof one === 'object');
}
