import { characterOf, ESCAPE, escapeOf } from './escapes.js';
import { overridesMethod } from './override.js';

/**
 * The one normalisation of request targets. What comes out is what is decided on, recorded and forwarded, byte for byte;
 * whatever two readers could understand differently is refused (THREATS.md A1, B1).
 */

/** A request target with one meaning, or why it has none. */
export type Target = ReadTarget | { readonly ok: false; readonly why: string };

export interface ReadTarget {
  readonly ok: true;
  readonly path: string;
  readonly query: string;
}

const UNRESERVED = /^[A-Za-z0-9._~-]$/;
/**
 * RFC 3986 `pchar` and `/`, without `;`: parameters are read by some servers as part of the path and by others not. And the
 * four characters that browsers leave as they are there (`/src/[id]/page.js`): they go on escaped.
 */
const PATH = /^(?:[A-Za-z0-9._~!$&'()*+,=:@/[\]|^-]|%[0-9A-Fa-f]{2})*$/;
const UNESCAPED = /[[\]|^]/g;
/** RFC 3986 `query`, and the five characters that browsers leave as they are there. */
const IN_QUERY = "A-Za-z0-9._~!$&'()*+,;=:@/?[\\]{}|^-";
const QUERY = new RegExp(`^(?:[${IN_QUERY}]|%[0-9A-Fa-f]{2})*$`);
const NOT_IN_QUERY = new RegExp(`[^${IN_QUERY}]`, 'g');

/**
 * Reads an origin-form target (RFC 9112 section 3.2.1).
 *
 * Escaped unreserved characters are decoded and other escapes get upper-case digits (RFC 3986 section 6.2.2), so that
 * `/ad%6din` is `/admin` for the policy, the record and the upstream alike, as `/[id]` is `/%5Bid%5D`. The query is kept byte
 * for byte.
 * @param raw - the target as it stood in the request line
 */
export function readTarget(raw: string): Target {
  const target = readServiceTarget(raw);
  return target.ok && holdsSlash(target.path) ? refuse(SLASH) : target;
}

/**
 * The same of a target that a policy will judge. An escaped slash stays within its segment, as `%2F`: some services read it as
 * part of a name (`/@scope%2Fpackage`), others as a slash. So nothing but a rule that says so lets one through; with a slash in
 * its place, too, there must be neither empty nor dot segments.
 */
export function readServiceTarget(raw: string): Target {
  if (!raw.startsWith('/')) return refuse('the target is not a path');
  const mark = raw.indexOf('?');
  const query = mark === -1 ? '' : raw.slice(mark);
  if (!QUERY.test(query.slice(1))) return refuse('the query holds a character that must be escaped');
  if (overridesMethod(query)) return refuse('the query holds a method, which makes another request of it');
  return readPath(mark === -1 ? raw : raw.slice(0, mark), query);
}

function readPath(raw: string, query: string): Target {
  if (!PATH.test(raw)) return refuse('the path holds a character that must be escaped, or parameters');
  if (!/[%[\]|^]/.test(raw)) {
    const doubt = ambiguousSegment(raw);
    return doubt === null ? { ok: true, path: raw, query } : refuse(doubt);
  }
  const escaped = raw.replace(UNESCAPED, escapeOf);
  const path = escaped.replace(ESCAPE, (octet, digits: string) => {
    const character = characterOf(digits);
    return UNRESERVED.test(character) ? character : octet.toUpperCase();
  });
  const why = ambiguity(path);
  return why === null ? { ok: true, path, query } : refuse(why);
}

/** Why a path whose escapes are normalised still has two meanings; null when it has one. */
function ambiguity(path: string): string | null {
  const segment = ambiguousSegment(path);
  if (segment !== null) return segment;
  if (path.includes('%5C')) return SLASH;
  const hidden = holdsSlash(path) ? hiddenSegment(path) : null;
  if (hidden !== null) return hidden;
  if (path.includes('%3B')) return 'the path holds parameters';
  if (/%25[0-9A-Fa-f]{2}/.test(path)) return 'the path is escaped twice';
  const text = textOf(path);
  if (text === null || /\p{Cc}/u.test(text)) return 'the path holds control characters or is not UTF-8';
  return FOLDED_DOTS.test(folded(text)) ? DOTS : null;
}

/** A text as it may stand in a query. @param text - a character for each byte */
export function inQuery(text: string): string {
  return text.replace(NOT_IN_QUERY, escapeOf);
}

/** Why a target with an escaped slash is refused wherever no rule asks for it. */
export const SLASH = 'the path holds an escaped slash';

/** Whether a normalised path, or a segment of one, holds an escaped slash. */
export function holdsSlash(path: string): boolean {
  return path.includes('%2F');
}

/**
 * The same of its segments alone, which is all where nothing is escaped. Whoever unescapes a target before taking it apart has
 * the path end at an escaped `?` or `#`; blanks behind it, which `+` is to some, are cut off by URL parsers, and by Windows.
 */
function ambiguousSegment(path: string): string | null {
  if (/\/\.\.?(?:%20|\+)*(?:\/|%3F|%23|$)/.test(path)) return DOTS;
  return path.includes('//') ? EMPTY : null;
}

/** A segment that is nothing but an escaped slash, behind others: the name of RabbitMQ's default virtual host. */
const NAMED_SLASH = /(?<=\/[^/]+\/)%2F(?=\/|$)/g;

/**
 * The same with slashes in place of the escaped ones; and behind each of those there is something. But for a segment that is nothing
 * else, which only a route with this very text lets through.
 */
function hiddenSegment(path: string): string | null {
  const named = path.replace(NAMED_SLASH, 'x');
  return ambiguousSegment(named.replaceAll('%2F', '/')) ?? (/%2F(?:%20)*(?:%3F|%23|$)/.test(named) ? EMPTY : null);
}

const EMPTY = 'the path holds an empty segment';
const DOTS = 'the path holds a dot segment';

/** Null where the escapes are not UTF-8 (nor overlong forms of it: `%C0%AE` is a dot to some). */
function textOf(path: string): string | null {
  try {
    return decodeURIComponent(path);
  } catch {
    return null;
  }
}

/** Slashes to Windows, where a name has to be fitted into a code page; its yen and won signs are what `\` is there. */
const LIKE_SLASHES = /[\\\u00a5\u20a9\u2044\u2215\u2216]/g;
const FOLDED_DOTS = /\/\.\.?[ +]*(?:[/?#]|$)/;

/**
 * As it is for whoever takes characters for the ASCII that they look like, full-width ones (`%EF%BC%8F`), `\u2025` and `\u00a0` among
 * them, and does not see those that show nothing. Marks go first: thousands behind one letter take ten times as long to be put in order as all else.
 */
function folded(text: string): string {
  return text
    .replace(/[\p{DI}\p{M}]+/gu, '')
    .normalize('NFKC')
    .replace(LIKE_SLASHES, '/');
}

function refuse(why: string): Target {
  return { ok: false, why };
}
