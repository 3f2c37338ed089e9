import { unescaped } from './escapes.js';

/** The parameters of a query as the service will read them, or why two services could read them differently. */
export type Query =
  | {
      readonly ok: true;
      readonly values: ReadonlyMap<string, string>;
      /** How each name is written, by what it may be read as: see `readings`. */
      readonly spellings: ReadonlyMap<string, string>;
      /** What names may be taken for besides, and how each is written: see `stemsOf`. */
      readonly stems: readonly (readonly [stem: string, name: string])[];
    }
  | { readonly ok: false; readonly why: string };

const NOTHING: Query = { ok: true, values: new Map(), spellings: new Map(), stems: [] };

/**
 * Reads a query for rules that name parameters (WHATWG URL, application/x-www-form-urlencoded). What frameworks read in
 * different ways has no single meaning: `;` between parameters, a name that stands twice (the first, the last or both count;
 * see `readings` for what counts as the same), bytes that are not UTF-8, control characters, more parameters than all read.
 * @param query - with its `?`, or empty
 */
export function readQuery(query: string): Query {
  if (query.length <= 1) return NOTHING;
  if (query.includes(';')) return refuse('the query holds ";", which separates parameters for some');
  const values = new Map<string, string>();
  const spellings = new Map<string, string>();
  const stems: [stem: string, name: string][] = [];
  const parts = query.slice(1).split('&');
  if (parts.length > MOST_READ) return refuse(`the query holds more than ${MOST_READ} parameters`);
  for (const part of parts) {
    if (part === '') continue;
    if (NAMELESS.test(part)) return refuse('the query holds a parameter without a name, which is its value to some');
    const equals = part.indexOf('=');
    const name = decoded(equals === -1 ? part : part.slice(0, equals));
    const value = equals === -1 ? '' : decoded(part.slice(equals + 1));
    if (name === null || value === null) return refuse('the query is not UTF-8, or holds control characters');
    for (const plain of readings(name)) {
      if (spellings.has(plain)) return refuse(`the query parameter ${JSON.stringify(plain.slice(0, 40))} stands twice`);
      spellings.set(plain, name);
    }
    for (const stem of stemsOf(name)) stems.push([folded(stem), name]);
    values.set(name, value);
  }
  return { ok: true, values, spellings, stems };
}

/**
 * What the names of cookies may be taken for by who looks for parameters among them, too: PHP's `$_REQUEST` without a `php.ini`, as in its
 * own image, takes a cookie before the query's parameter.
 * @param values - of the request's Cookie headers, as bytes
 */
export function readCookieNames(values: readonly string[]): ReadonlySet<string> {
  const names = new Set(values.flatMap((value) => value.split(';')).map((cookie) => cookie.split('=', 1)[0] ?? ''));
  return new Set([...names].flatMap((name) => [...readings(Buffer.from(unescaped(name), 'latin1').toString())]));
}

/** To ufo, by which Nuxt reads queries, `=a=1` is `a=1`, and to querystringify `?=a=1`. */
const NAMELESS = /^\?*=/;

/** Of a thousand on, PHP leaves out the rest, and so do Express and hapi, which count empty ones, too. */
const MOST_READ = 200;

/**
 * What Zope takes for `kind` in `kind:int`, Rocket in `kind.x`, `kind.` and `.kind`, querystringify in `kind?`, Spring in `!kind` and `_kind`
 * where `kind` is missing.
 */
function stemsOf(name: string): string[] {
  const plain = name.replace(/^(?:\.+|[!_])/, '');
  const parts = [':', '.', '?']
    .filter((mark) => plain.includes(mark))
    .map((mark) => plain.slice(0, plain.indexOf(mark)));
  return plain === name ? parts : [plain, ...parts];
}

/** What services may take a name for: in PHP `kind[x` is `kind_x`, and `kind ` is `kind_`. */
function readings(name: string): Set<string> {
  const plain = caseless(name).trimStart();
  const open = plain.indexOf('[');
  const php = open === -1 || plain.indexOf(']', open) === -1 ? plain : plain.slice(0, open);
  return new Set([folded(name), php.replace(/[.[ ]/g, '_')]);
}

/**
 * What most of them take it for: case is nothing to some, `a[]`, `a[b]`, `[a]` and `]a` are `a` to some (Rack up to 2.2), `.` and
 * blanks are `_` to PHP; blanks around it are cut off, and a `?` before it by `URLSearchParams`.
 */
export function folded(name: string): string {
  const plain = caseless(name)
    .trim()
    .replace(/^[?[\]]+/, '')
    .replace(/[[\]].*$/s, '');
  return plain.trim().replace(/[. ]/g, '_');
}

/**
 * Without case, for whoever compares so: to Go's `EqualFold` and Java's `equalsIgnoreCase` `\u017f` is an `s`, to Java `\u0131` and `\u0130`
 * are an `i`, and .NET's `NameValueCollection` does not see soft hyphens and the like.
 */
function caseless(name: string): string {
  if (/^[ -~]*$/.test(name)) return name.toLowerCase();
  return name
    .normalize('NFKD')
    .replace(/[\u0307\p{DI}]/gu, '')
    .toUpperCase()
    .toLowerCase();
}

function decoded(text: string): string | null {
  try {
    const value = decodeURIComponent(text.replaceAll('+', ' '));
    return /\p{Cc}/u.test(value) ? null : value;
  } catch {
    return null;
  }
}

function refuse(why: string): Query {
  return { ok: false, why };
}
