import { isOwnPath, OWN_PATHS } from '../browser/place.js';
import { ENDS } from './elsewhere.js';
import { ESCAPED_PATH, type Matcher, SEGMENT, TYPE_NAMES, typed } from './matcher.js';
import { METHODS } from './override.js';
import { holdsSlash, readServiceTarget } from './path.js';

/** A method and a pattern over the segments of a normalised path. */
export interface Route {
  /** `WS` for a WebSocket and its messages, `SSE` for a GET that asks for an event stream. */
  readonly method: string;
  /** A text stands for itself. */
  readonly segments: readonly (string | Matcher)[];
  /** Ends in `**`: zero or more further segments. */
  readonly open: boolean;
}

export type ParsedRoute =
  | { readonly ok: true; readonly route: Route }
  | { readonly ok: false; readonly message: string; readonly hint: string };

/**
 * A closed list. TRACE would show the contractor the injected credentials; CONNECT and the methods of WebDAV name a second
 * target outside of the path.
 */
const WORDS = [...METHODS, 'WS', 'SSE'];
/** The one type of segments that values of queries and headers have not: those are read unescaped. */
const PATH_TYPE = 'path';
const PARAMETER = /^:[A-Za-z_][A-Za-z0-9_]*(?:<([a-z]+)>)?$/;

/** Reads the route of a rule: `POST /orders/:id<int>/retry`. */
export function parseRoute(text: string): ParsedRoute {
  const [, method, pattern] = /^([A-Z]+) (\/\S*)$/.exec(text) ?? [];
  if (method === undefined || pattern === undefined) {
    return refuse(`not a route: ${JSON.stringify(text)}`, 'a method in capitals, one blank and a path: GET /orders/**');
  }
  if (!WORDS.includes(method)) return refuse(`unknown method ${method}`, `one of ${WORDS.join(', ')}`);
  return parsePattern(method, pattern);
}

function parsePattern(method: string, pattern: string): ParsedRoute {
  const written = segmentsOf(pattern);
  const open = written.at(-1) === '**';
  const closed = open ? written.slice(0, -1) : written;
  const segments: (string | Matcher)[] = [];
  for (const segment of closed) {
    if (segment.includes('*'))
      return refuse(`* in ${pattern}`, '** stands for the rest of a path, and only at its end');
    const parameter = segment.startsWith(':') ? parameterOf(segment) : segment;
    if (parameter === undefined)
      return refuse(
        `${segment} is no parameter`,
        `:name stands for one segment, :name<type> for ${[...TYPE_NAMES, PATH_TYPE]}`,
      );
    segments.push(parameter);
  }
  const literal = `/${segments.map((segment) => (typeof segment === 'string' ? segment : 'x')).join('/')}`;
  const target = readServiceTarget(literal);
  if (!target.ok) return refuse(`${pattern} matches nothing: ${target.why}`, 'requests with such a path are refused');
  if (target.query !== '') return refuse(`${pattern} holds a query`, 'write { route: …, query: { name: value } }');
  if (target.path !== literal) {
    return refuse(`${pattern} matches nothing: it is not normalised`, `write ${target.path}`);
  }
  if (isOwnPath(literal)) return refuse(`${pattern} matches nothing`, `paths under ${OWN_PATHS} are the gateway's own`);
  return { ok: true, route: { method, segments, open } };
}

function parameterOf(segment: string): Matcher | undefined {
  const match = PARAMETER.exec(segment);
  if (match === null) return undefined;
  const [, type] = match;
  if (type === PATH_TYPE) return ESCAPED_PATH;
  return type === undefined ? SEGMENT : typed(type);
}

/** Two routes of one shape allow the same requests. */
export function shapeOf({ method, segments, open }: Route): string {
  const shape = segments.map((segment) => (typeof segment === 'string' ? segment : `:${segment.words}`));
  return `${method} /${[...shape, ...(open ? ['**'] : [])].join('/')}`;
}

/** A route as a policy may have it; how its parameters were called nobody needs. */
export function textOfRoute({ method, segments, open }: Route): string {
  const written = segments.map((segment, at) =>
    typeof segment === 'string' ? segment : `:p${at + 1}${segment.words}`,
  );
  return `${method} /${[...written, ...(open ? ['**'] : [])].join('/')}`;
}

/** Whether a route's pattern fits a path's segments. `**` stands for segments of one meaning: none with an escaped slash. */
export function fitsPath({ segments: expected, open }: Route, segments: readonly string[]): boolean {
  if (open ? segments.length < expected.length : segments.length !== expected.length) return false;
  for (let at = 0; at < expected.length; at += 1) {
    const wanted = expected[at];
    const segment = segments[at] ?? '';
    if (typeof wanted === 'string' ? segment !== wanted : wanted?.fits(segment) !== true) return false;
  }
  for (let at = expected.length; at < segments.length; at += 1) {
    if (holdsSlash(segments[at] ?? '')) return false;
  }
  return true;
}

/** What keeps a path from being a route's where it is nothing but the type of a parameter; null otherwise. */
export function misfitOf(route: Route, segments: readonly string[]): string | null {
  const typeless = { ...route, segments: route.segments.map((one) => (typeof one === 'string' ? one : SEGMENT)) };
  if (!fitsPath(typeless, segments)) return null;
  const at = route.segments.findIndex((one, i) => typeof one !== 'string' && !one.fits(segments[i] ?? ''));
  const wanted = route.segments[at];
  return typeof wanted === 'object' ? `${segments[at]} is no ${wanted.words}` : null;
}

/** Whether every path of a route is one of another, too. */
export function coversPath(one: Route, other: Route): boolean {
  const { length } = one.segments;
  if (one.open ? other.segments.length < length : other.open || other.segments.length !== length) return false;
  return other.segments.every((segment, at) => {
    const wanted = one.segments[at];
    return wanted === undefined ? !mayHoldSlash(segment) : coversSegment(wanted, segment);
  });
}

/** Whether a route may have a path in common with one that is not open: what two types have in common is not looked at. */
export function meetsPath(one: Route, { segments }: Route): boolean {
  const { length } = one.segments;
  if (one.open ? segments.length < length : segments.length !== length) return false;
  return segments.every((segment, at) => meetsSegment(one.segments[at], segment));
}

/** The routes of the shorter paths that a request for this one asks for besides, by what its texts hold. */
export function endedRoutes({ method, segments }: Route): Route[] {
  return ENDS.flatMap((end) => {
    const at = segments.findIndex((segment) => typeof segment === 'string' && end.test(segment));
    if (at === -1) return [];
    const last = String(segments[at]).replace(end, '');
    return [{ method, segments: last || at ? [...segments.slice(0, at), last] : [], open: false }];
  });
}

function meetsSegment(one: string | Matcher | undefined, other: string | Matcher): boolean {
  if (one === undefined) return typeof other !== 'string' || !holdsSlash(other);
  if (typeof one === 'string') return typeof other === 'string' ? one === other : other.fits(one);
  return typeof other !== 'string' || one.fits(other);
}

function coversSegment(one: string | Matcher, other: string | Matcher): boolean {
  if (typeof one === 'string') return one === other;
  if (typeof other === 'string') return one.fits(other);
  return one === ESCAPED_PATH || one.words === other.words || (one === SEGMENT && other !== ESCAPED_PATH);
}

function mayHoldSlash(segment: string | Matcher): boolean {
  return typeof segment === 'string' ? holdsSlash(segment) : segment === ESCAPED_PATH;
}

/** `/` has no segments; a trailing slash makes a last one that is empty. */
export function segmentsOf(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/');
}

function refuse(message: string, hint: string): ParsedRoute {
  return { ok: false, message, hint };
}
