import type { Header, RequestAction } from '../action.js';
import { canonical } from '../headers/headers.js';
import { unescaped } from './escapes.js';
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
  if (told.length === 0 && target.query === '') return NOTHING;
  return [
    ...copied(action, told, basePath),
    ...mounted(action, target),
    ...tunnelled(action, told, target),
    ...traversed(action, target),
  ];
}

/** `;` parts parameters for some, and is a part of one for others. */
const MANY: Target = { ok: false, why: 'the query leads to several others' };

const NOTHING: readonly never[] = [];

/** The headers that are looked at, of nearly every request none; of the same list they are kept from one time to the next. */
function tellingIn(headers: readonly Header[]): readonly Header[] {
  const known = TELLING.get(headers);
  if (known !== undefined) return known;
  const telling = headers.filter(([name]) => /copy|method/i.test(name));
  TELLING.set(headers, telling);
  return telling;
}

const TELLING = new WeakMap<readonly Header[], readonly Header[]>();

/** `X-Amz-Copy-Source` of S3, and those of its likes: what is read, and becomes what is written. */
const COPIED = /^x-(?:[a-z]+-)?copy-(?:source|from)$/;

function copied(action: RequestAction, told: readonly Header[], basePath: string): RequestAction[] {
  return told.flatMap(([name, value]) =>
    COPIED.test(canonical(name)) ? [{ ...action, method: 'GET', target: sourceOf(value, basePath) }] : [],
  );
}

/** The slash before it may be missing, and it may be a whole address. It is the service's path, with what rules do not name. */
function sourceOf(value: string, basePath: string): Target {
  const path = value.replace(/^https?:\/\/[^/]*/i, '').replace(/^\/?/, '/');
  if (!path.startsWith(`${basePath}/`)) return { ok: false, why: 'what is to be copied stands elsewhere' };
  return readServiceTarget(path.slice(basePath.length));
}

/**
 * A registry gives one repository what another one has (OCI distribution specification, "Mounting a blob from another repository"):
 * `POST /v2/mine/blobs/uploads/?mount=sha256:…&from=theirs`.
 */
function mounted(action: RequestAction, { path, query }: ReadTarget): RequestAction[] {
  const [, api] = /^(.*?\/v2\/).+\/blobs\/uploads\/?$/.exec(path) ?? [];
  if (api === undefined || query === '') return [];
  const parameters = parametersOf(query);
  const valuesOf = (wanted: string) =>
    parameters.filter(([name]) => name === wanted).map(([, value]) => escaped(value));
  const [from, digest] = [valuesOf('from'), valuesOf('mount')];
  if (from.length === 0 || digest.length === 0) return [];
  const isOne = from.length + digest.length === 2 && !query.includes(';');
  const target = isOne ? readServiceTarget(`${api}${from[0]}/blobs/${digest[0]}`) : MANY;
  return [{ ...action, method: 'GET', target }];
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
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
  if (!/method/i.test(unescaped(query))) return [];
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
  return parametersOf(query).flatMap(([name, value]) => {
    const words = name.split(':');
    const ends = words.flatMap((word, at) => (at > 0 && GOES_ON.test(word) ? [at] : []));
    return ends.map((at): RequestAction => {
      const further = words.slice(0, at).join(':') || value;
      return { ...action, target: readServiceTarget(`${folder}/${escaped(further)}`) };
    });
  });
}

/** Characters that are bytes, as they stand in a path. */
function escaped(text: string): string {
  return text.replace(/[^A-Za-z0-9._~:/-]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
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
