import type { Header, RequestAction } from '../action.js';
import { canonical, connectionList, isForwarded } from '../headers/headers.js';
import { escapeOf, unescaped } from './escapes.js';
import { METHODS } from './override.js';
import { type ReadTarget, readServiceTarget, type Target } from './path.js';
import type { RoleSettings } from './role-settings.js';

/**
 * What a request asks for besides what its first line says (THREATS.md A1): each is the same request with another method or path, that
 * a role has to allow, too.
 */
export function besides(action: RequestAction, { basePath }: Pick<RoleSettings, 'basePath'>): readonly RequestAction[] {
  const { target } = action;
  if (!target.ok) return NOTHING;
  const told = tellingIn(action.headers);
  if (told.length === 0 && !mayAsk(target)) return NOTHING;
  const ways = [
    copied(action, told, target, basePath),
    mounted(action, target),
    tunnelled(action, told, target),
    traversed(action, target),
    led(action, target),
    identified(action, target),
  ].filter((others) => others.length > 0);
  // Each by itself is decided; what they mean together (another method there, too?) nobody can tell, and nobody needs.
  return ways.length > 1 ? [{ ...action, target: MANY }] : (ways[0] ?? NOTHING);
}

/** Whether a query holds a word of those that are looked for: most hold none, and are not taken apart. */
function mayAsk({ path, query }: ReadTarget): boolean {
  return (
    query !== '' && (DOCUMENTS.test(path) || /mount|method|action|(?:cp|mv)\.from|[?&;]\//i.test(unescaped(query)))
  );
}

const MANY: Target = { ok: false, why: 'it leads to several others' };

const NOTHING: readonly never[] = [];

/** The headers that are looked at and reach the service, of nearly every request none; of the same list they are kept from one time to the next. */
function tellingIn(headers: readonly Header[]): readonly Header[] {
  const known = TELLING.get(headers);
  if (known !== undefined) return known;
  const named = headers.filter(([name]) => /copy|rename|symlink|manifest|method/i.test(name));
  const listed = named.length === 0 ? null : connectionList(headers);
  const telling = named.filter(([name]) => isForwarded(name, canonical(name)) && !listed?.has(name.toLowerCase()));
  TELLING.set(headers, telling);
  return telling;
}

const TELLING = new WeakMap<readonly Header[], readonly Header[]>();

/**
 * `X-Amz-Copy-Source` of S3, and those of its likes: what is read, and becomes what is written. What is renamed (`X-Ms-Rename-Source` of
 * Azure's Data Lake, `X-Amz-Rename-Source`) is not there any more. Swift gives out what `X-Symlink-Target` and
 * `X-Object-Manifest` name whenever it is asked for what is written; SeaweedFS is told in a query: `?cp.from=` and `?mv.from=`.
 */
const SOURCE =
  /^(?:x-(?:[a-z]+-)*(?:copy-source|copy-from|rename-source|symlink-target|object-manifest)|(?:cp|mv)\.from)$/;

function copied(
  action: RequestAction,
  told: readonly Header[],
  { query }: ReadTarget,
  basePath: string,
): RequestAction[] {
  const said = [
    ...told.map(([name, value]) => [canonical(name), value] as const),
    ...parametersOf(query).map(([name, value]) => [name, escaped(value)] as const),
  ];
  const [source, another] = said.filter(([name]) => SOURCE.test(name));
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

const API = '/v2/';
/** Behind the name of a repository. */
const UPLOADS = /.\/blobs\/uploads\/?$/;

/**
 * A registry gives one repository what another one has (OCI distribution specification, "Mounting a blob from another repository"):
 * `POST /v2/mine/blobs/uploads/?mount=sha256:…&from=theirs`.
 */
function mounted(action: RequestAction, { path, query }: ReadTarget): RequestAction[] {
  const at = path.indexOf(API);
  if (at === -1 || !UPLOADS.test(path.slice(at + API.length))) return [];
  const api = path.slice(0, at + API.length);
  const parameters = parametersOf(query);
  const valuesOf = (wanted: string) =>
    parameters.filter(([name]) => name === wanted).map(([, value]) => escaped(value));
  const [from, digest] = [valuesOf('from'), valuesOf('mount')];
  if (from.length === 0 || digest.length === 0) return [];
  // `;` parts parameters for some, and is a part of one for others.
  const isOne = from.length + digest.length === 2 && !query.includes(';');
  const target = isOne ? readServiceTarget(`${api}${from[0]}/blobs/${digest[0]}`) : MANY;
  return [{ ...action, method: 'GET', target }];
}

/** No rule is for it. */
const UNKNOWN = 'UNKNOWN';

/**
 * Frameworks take the method from a header, and Icinga and Payload's own pages ask for what they look up by POST with one that says
 * `GET`. Restlet carries out `POST /orders/7?method=delete` as DELETE unless told otherwise.
 */
function tunnelled(action: RequestAction, told: readonly Header[], { query }: ReadTarget): RequestAction[] {
  const methods = [...(action.method === 'POST' ? queried(query) : []), ...told.flatMap(named)];
  const others = new Set(methods.filter((method) => method !== action.method));
  return [...others].map((method) => ({ ...action, method }));
}

function queried(query: string): readonly string[] {
  return parametersOf(query).flatMap(([name, value]) => {
    const method = value.trim().toUpperCase();
    return name.trim().toLowerCase() === 'method' && METHODS.includes(method) ? [method] : [];
  });
}

/** `X-HTTP-Method-Override`, `X-HTTP-Method`, `X-Payload-HTTP-Method-Override`. */
function named([name, value]: Header): readonly string[] {
  if (!/(?:^|-)(?:http-method|method-override)$/.test(canonical(name))) return [];
  const method = value.trim().toUpperCase();
  return [METHODS.includes(method) ? method : UNKNOWN];
}

/** The converters of Zope that have it go on to another object; `.x` is that of a picture that was clicked on. */
const GOES_ON = /^(?:default_)?(?:method|action)(?:\.[xy])*$/;
const MAY_GO_ON = /:(?:default_)?(?:method|action)/g;
/** Nobody needs more than one. */
const MOST = 8;

/** Zope and Plone carry out `/folder?list:method=` as `/folder/list`, and the same for `:method=list`. */
function traversed(action: RequestAction, { path, query }: ReadTarget): RequestAction[] {
  const places = unescaped(query).match(MAY_GO_ON)?.length ?? 0;
  if (places === 0) return [];
  if (places > MOST || query.includes(';')) return [{ ...action, target: MANY }];
  const folder = path.replace(/\/$/, '');
  const further = parametersOf(query).map(([name, value]) => {
    const words = name.split(':');
    const ends = words.flatMap((word, at) => (at > 0 && GOES_ON.test(word) ? [at] : []));
    return ends.map((at) => words.slice(0, at).join(':') || value);
  });
  const told = queryWithout(query, (at) => further[at]?.length !== 0);
  return further.flat().map((name) => ({ ...action, target: readServiceTarget(`${folder}/${escaped(name)}${told}`) }));
}

/**
 * A path in the query. SvelteKit carries out `POST /orders/7?/delete` as the action `delete` of that page, CodeIgniter `GET /?/admin/users`
 * as `/admin/users`, and Piwigo has all its pages so: what stands there is taken for what would stand behind the path.
 */
function led(action: RequestAction, { path, query }: ReadTarget): RequestAction[] {
  const parameters = parametersOf(query);
  const at = parameters.findIndex(([name]) => name.startsWith('/'));
  const [name, value] = parameters[at] ?? [];
  if (name === undefined) return [];
  // SvelteKit takes the first of several; CodeIgniter takes all that stands before a second `?`.
  const isOne =
    parameters.filter(([other]) => other.startsWith('/')).length === 1 &&
    value === '' &&
    !name.includes('?') &&
    !query.includes(';');
  const told = queryWithout(query, (other) => other === at);
  const target = isOne ? readServiceTarget(`${path.replace(/\/$/, '')}${escaped(name)}${told}`) : MANY;
  return [{ ...action, target }];
}

const DOCUMENTS = /.\/_doc\/?$/;

/** Elasticsearch and OpenSearch take from the query what a path lacks: `POST /orders/_doc?id=7` writes what `PUT /orders/_doc/7` does. */
function identified(action: RequestAction, { path, query }: ReadTarget): RequestAction[] {
  if (action.method !== 'POST' || !DOCUMENTS.test(path)) return [];
  const parameters = parametersOf(query);
  const at = parameters.findIndex(([name]) => name === 'id');
  const [, id] = parameters[at] ?? [];
  if (id === undefined) return [];
  const isOne = parameters.filter(([name]) => name === 'id').length === 1 && !query.includes(';');
  const told = queryWithout(query, (other) => other === at);
  const target = isOne ? readServiceTarget(`${path.replace(/\/$/, '')}/${escaped(id)}${told}`) : MANY;
  return [{ ...action, method: 'PUT', target }];
}

/** What the other place is told, and a rule for it may ask for. @param isGone - whether the parameter at this place leads there */
function queryWithout(query: string, isGone: (at: number) => boolean): string {
  const others = query
    .slice(1)
    .split('&')
    .filter((_, at) => !isGone(at));
  return others.length === 0 ? '' : `?${others.join('&')}`;
}

/** Characters that are bytes, as they stand in a path. */
function escaped(text: string): string {
  return text.replace(/[^A-Za-z0-9._~:/-]/g, escapeOf);
}

/** Names and values with their escapes undone, as characters that are bytes. */
function parametersOf(query: string): [name: string, value: string][] {
  return query
    .slice(1)
    .split(/[&;]/)
    .map((part) => {
      const plain = unescaped(part.replaceAll('+', ' '));
      const at = plain.indexOf('=');
      return at === -1 ? [plain, ''] : [plain.slice(0, at), plain.slice(at + 1)];
    });
}
