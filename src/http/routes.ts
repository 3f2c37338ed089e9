import { readTarget } from './path.js';

/** One line of `allow:`: a method and a pattern over the segments of a normalised path. */
export interface Route {
  /** As the policy file words it. */
  readonly text: string;
  /** `WS` for a WebSocket and its messages. */
  readonly method: string;
  /** `:x` stands for any one segment that is not empty. */
  readonly segments: readonly string[];
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
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'WS'];
const PARAMETER = /^:[A-Za-z_][A-Za-z0-9_]*$/;

/** Reads one rule: `POST /orders/:id/retry`. */
export function parseRoute(text: string): ParsedRoute {
  const [, method, pattern] = /^([A-Z]+) (\/\S*)$/.exec(text) ?? [];
  if (method === undefined || pattern === undefined) {
    return refuse(`not a route: ${JSON.stringify(text)}`, 'a method, one blank and a path: GET /orders/**');
  }
  if (!METHODS.includes(method)) return refuse(`unknown method ${method}`, `one of ${METHODS.join(', ')}`);
  return parsePattern(text, method, pattern);
}

function parsePattern(text: string, method: string, pattern: string): ParsedRoute {
  const segments = segmentsOf(pattern);
  const open = segments.at(-1) === '**';
  const closed = open ? segments.slice(0, -1) : segments;
  for (const segment of closed) {
    if (segment.includes('*'))
      return refuse(`* in ${pattern}`, '** stands for the rest of a path, and only at its end');
    if (segment.startsWith(':') && !PARAMETER.test(segment)) {
      return refuse(`${segment} is no parameter`, ':name stands for one segment');
    }
  }
  const literal = `/${closed.map((segment) => (segment.startsWith(':') ? 'x' : segment)).join('/')}`;
  const target = readTarget(literal);
  if (!target.ok) return refuse(`${pattern} matches nothing: ${target.why}`, 'requests with such a path are refused');
  if (target.query !== '') return refuse(`${pattern} holds a query`, 'queries are not looked at: leave it out');
  if (target.path !== literal) {
    return refuse(`${pattern} matches nothing: it is not normalised`, `write ${target.path}`);
  }
  return { ok: true, route: { text, method, segments: closed, open } };
}

/** Two routes of one shape allow the same requests. */
export function shapeOf({ method, segments, open }: Route): string {
  const shape = segments.map((segment) => (segment.startsWith(':') ? ':' : segment));
  return `${method} /${[...shape, ...(open ? ['**'] : [])].join('/')}`;
}

/** The first route that allows a method on a normalised path. GET implies HEAD, and nothing else. */
export function findRoute(routes: readonly Route[], method: string, path: string): Route | undefined {
  const segments = segmentsOf(path);
  return routes.find(
    (route) => (route.method === method || (route.method === 'GET' && method === 'HEAD')) && matches(route, segments),
  );
}

function matches(route: Route, segments: readonly string[]): boolean {
  if (route.open ? segments.length < route.segments.length : segments.length !== route.segments.length) return false;
  return route.segments.every((expected, index) => {
    const segment = segments[index];
    return expected.startsWith(':') ? segment !== undefined && segment !== '' : segment === expected;
  });
}

/** `/` has no segments; a trailing slash makes a last one that is empty. */
function segmentsOf(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/');
}

function refuse(message: string, hint: string): ParsedRoute {
  return { ok: false, message, hint };
}
