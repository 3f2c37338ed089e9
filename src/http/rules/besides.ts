import type { Header, RequestAction } from '../action.js';
import { canonical, connectionList, isForwarded, valuesOf } from '../headers/headers.js';
import { acted, ended, escaped, identified, led, MANY, mayEnd, mayLead, mounted, traversed } from './elsewhere.js';
import { unescaped } from './escapes.js';
import { DECIDED_METHOD, METHODS, methodNamed, methodsInCookie } from './override.js';
import { Parameters } from './parameters.js';
import { type ReadTarget, readServiceTarget, type Target } from './path.js';
import type { RoleSettings } from './role-settings.js';

/**
 * What a request asks for besides what its first line says (THREATS.md A1): each is the same request with another method or path, that
 * a role has to allow, too.
 */
export function besides(action: RequestAction, settings: Pick<RoleSettings, 'basePath'>): readonly RequestAction[] {
  const { target } = action;
  if (!target.ok) return NOTHING;
  const told = tellingIn(action.headers);
  if (told.length === 0 && !mayAsk(target)) return NOTHING;
  const { basePath } = settings;
  const { path } = target;
  const parameters = new Parameters(target.query);
  const sooner = ended(action, target);
  const ways = [
    [...sooner, ...sooner.flatMap((other) => besides(other, settings))],
    copied(action, told, parameters, basePath),
    tunnelled(action, told, parameters),
    mounted(action, path, parameters),
    traversed(action, path, parameters),
    led(action, path, parameters),
    identified(action, path, parameters),
    acted(action, parameters),
  ].filter((others) => others.length > 0);
  // Each by itself is decided; what they mean together (another method there, too?) nobody can tell, and nobody needs.
  return ways.length > 1 ? [{ ...action, target: MANY }] : (ways[0] ?? NOTHING);
}

/** Whether a target holds a word of those that are looked for: most hold none, and are not taken apart. */
function mayAsk({ path, query }: ReadTarget): boolean {
  if (mayEnd(path)) return true;
  if (query === '') return false;
  const plain = unescaped(query);
  return mayLead(path, plain) || /method|(?:cp|mv)\.from/i.test(plain);
}

const NOTHING: readonly never[] = [];

/** The headers that are looked at and reach the service, of nearly every request none; of the same list they are kept from one time to the next. */
function tellingIn(headers: readonly Header[]): readonly Header[] {
  const known = TELLING.get(headers);
  if (known !== undefined) return known;
  const named = headers.filter(([name]) => /copy|rename|symlink|manifest|method/i.test(name));
  const listed = named.length === 0 ? null : connectionList(headers);
  const telling = [
    ...named.filter(([name]) => isForwarded(name, canonical(name)) && !listed?.has(name.toLowerCase())),
    ...methodsInCookies(headers),
  ];
  TELLING.set(headers, telling);
  return telling;
}

/** A cookie as the header that asks for the same. */
function methodsInCookies(headers: readonly Header[]): Header[] {
  return valuesOf(headers, 'cookie').flatMap((value) =>
    methodsInCookie(value).map((method): Header => [OVERRIDING, method]),
  );
}

const OVERRIDING = 'x-http-method-override';

const TELLING = new WeakMap<readonly Header[], readonly Header[]>();

/**
 * `X-Amz-Copy-Source` of S3, and those of its likes: what is read, and becomes what is written. What is renamed (`X-Ms-Rename-Source` of
 * Azure's Data Lake, `X-Amz-Rename-Source`) is not there any more. Swift gives out what `X-Symlink-Target` and
 * `X-Object-Manifest` name whenever it is asked for what is written; SeaweedFS is told in a query: `?cp.from=` and `?mv.from=`.
 */
const SOURCE = /^x-(?:[a-z]+-)*(?:copy-source|copy-from|rename-source|symlink-target|object-manifest)$/;
const QUERIED_SOURCE = /^(?:cp|mv)\.from$/;

function copied(
  action: RequestAction,
  told: readonly Header[],
  parameters: Parameters,
  basePath: string,
): RequestAction[] {
  const headers = told.map(([name, value]) => [canonical(name), value] as const);
  const queried = parameters.all.filter(([name]) => QUERIED_SOURCE.test(name));
  const [source, another] = [
    ...headers.filter(([name]) => SOURCE.test(name)),
    ...queried.map(([name, value]) => [name, escaped(value)] as const),
  ];
  if (source === undefined) return [];
  if (another !== undefined) return [{ ...action, target: MANY }];
  const [name, value] = source;
  const target = sourceOf(value, basePath);
  const methods = /^mv|rename/.test(name) ? ['GET', 'DELETE'] : ['GET'];
  return methods.map((method) => ({ ...action, method, target }));
}

/** The slash before it may be missing, and it may be a whole address. It is the service's path, with what rules do not name. */
function sourceOf(value: string, basePath: string): Target {
  const path = value.replace(/^https?:\/\/[^/]*/i, '').replace(/^\/?/, '/');
  if (!path.startsWith(`${basePath}/`)) return { ok: false, why: 'what is to be copied stands elsewhere' };
  return readServiceTarget(path.slice(basePath.length));
}

/**
 * Frameworks take the method from a header, and Icinga and Payload's own pages ask for what they look up by POST with one that says
 * `GET`. Restlet carries out `POST /orders/7?method=delete` as DELETE unless told otherwise, Pekko and Akka with
 * `overrideMethodWithParameter` a GET, too. Alfresco's own pages say `alf_method`, Oracle's ATG
 * takes `atg-rest-http-method`; PrestaShop `ps_method`, of whatever there is.
 */
function tunnelled(action: RequestAction, told: readonly Header[], parameters: Parameters): RequestAction[] {
  const line = action.method === 'WS' ? 'GET' : action.method;
  const methods = [...queried(parameters).filter((method) => method !== line), ...told.flatMap(named)];
  const others = new Set(methods.filter((method) => method !== action.method));
  return [...others].map((method) => ({ ...action, method }));
}

function queried(parameters: Parameters): readonly string[] {
  return parameters.all.flatMap(([name, value]) => {
    const method = value.trim().toUpperCase();
    return QUERIED_METHOD.test(name.trim()) && METHODS.includes(method) ? [method] : [];
  });
}

/** PHP ends a name at a NUL. */
const QUERIED_METHOD = new RegExp(`^(?:method|${DECIDED_METHOD})(?:\\0|$)`, 'i');

/** `X-HTTP-Method-Override`, `X-HTTP-Method`, `X-Payload-HTTP-Method-Override`. */
function named([name, value]: Header): readonly string[] {
  if (!/(?:^|-)(?:http-method|method-override)$/.test(canonical(name))) return [];
  return [methodNamed(value)];
}
