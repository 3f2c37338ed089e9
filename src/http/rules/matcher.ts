import { holdsSlash } from './path.js';

/** What one value (a segment, a query parameter, a header) may be. */
export interface Matcher {
  /** As the policy file words it. */
  readonly words: string;
  /** Whether a value fits, byte for byte; nothing is decoded or trimmed here. */
  fits(value: string): boolean;
}

/** Every pattern runs in linear time: none has two ways to read the same text. */
const TYPES: Readonly<Record<string, RegExp>> = {
  int: /^(?:0|-?[1-9][0-9]{0,18})$/,
  uuid: /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/,
  slug: /^[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*$/,
  date: /^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$/,
};

export const TYPE_NAMES = Object.keys(TYPES);

/** A value of one of the types; undefined for a type there is not. */
export function typed(name: string): Matcher | undefined {
  const pattern = Object.hasOwn(TYPES, name) ? TYPES[name] : undefined;
  return pattern === undefined ? undefined : { words: `<${name}>`, fits: (value) => pattern.test(value) };
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
