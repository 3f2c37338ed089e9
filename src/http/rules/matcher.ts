import { holdsSlash } from './path.js';

/** What one value (a segment, a query parameter, a header) may be. */
export interface Matcher {
  /** As the policy file words it. */
  readonly words: string;
  /** Whether a value fits, byte for byte; nothing is decoded or trimmed here. */
  fits(value: string): boolean;
}

/** Every pattern runs in linear time: none has two ways to read the same text. */
const TYPES: Readonly<Record<string, Matcher['fits']>> = {
  int: like(/^(?:0|-?[1-9][0-9]{0,18})$/),
  uuid: like(/^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/),
  slug: like(/^[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*$/),
  date: isDate,
};

function like(pattern: RegExp): Matcher['fits'] {
  return (value) => pattern.test(value);
}

/** A day of the calendar (RFC 3339 `full-date`): many services take 30 February for 2 March, another one than was decided on. */
function isDate(value: string): boolean {
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(value)) return false;
  const day = new Date(`${value}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(value);
}

export const TYPE_NAMES = Object.keys(TYPES);

/** A value of one of the types; undefined for a type there is not. */
export function typed(name: string): Matcher | undefined {
  const fits = Object.hasOwn(TYPES, name) ? TYPES[name] : undefined;
  return fits === undefined ? undefined : { words: `<${name}>`, fits };
}

/** One of these values. */
export function oneOf(values: readonly string[]): Matcher {
  const known = new Set(values);
  return { words: [...known].map(wordValue).join('|'), fits: (value) => known.has(value) };
}

/** None at all: what a condition names must not be there. */
export const ABSENT: Matcher = { words: '<absent>', fits: () => false };

/** In quotes where it would read like something else of a rule: several values, a type, a limit. */
function wordValue(value: string): string {
  return /[|"]|^<|, /.test(value) ? JSON.stringify(value) : value;
}

/** Any segment that is not empty; one that holds an escaped slash is two to some services. */
export const SEGMENT: Matcher = { words: '', fits: (value) => value !== '' && !holdsSlash(value) };

/** A segment that may hold escaped slashes. What stands between them is neither empty nor dots: see `readServiceTarget`. */
export const ESCAPED_PATH: Matcher = { words: '<path>', fits: (value) => value !== '' && value !== '%2F' };
