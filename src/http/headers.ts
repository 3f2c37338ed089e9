import type { Header } from './action.js';

/** Headers of one connection only (RFC 9110 section 7.6.1), and what speaks about framing: each hop makes its own. */
const HOP_BY_HOP = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
]);

/** What a client may say to the gateway and never to the service. */
const NOT_FORWARDED = new Set(['host', 'authorization', 'expect', 'forwarded', 'via', 'x-real-ip']);

/** Frameworks take the method or the path from these: the service would do something other than what was decided (A1). */
const OVERRIDES = new Set([
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-original-uri',
  'x-original-host',
  'x-rewrite-url',
  'x-host',
]);

/** Who asked, and how, for the service's own use. */
export interface Origin {
  readonly client: string;
  /** The Host the client asked for. */
  readonly host: string;
  readonly proto: 'http' | 'https';
  /** The signed assertion of who stands behind the request. */
  readonly assertion: string;
}

/** How header names are compared: servers that map them to variables see no difference in case, `-` and `_`. */
export function canonical(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

/** Whether a policy may inject a header of this name. */
export function isInjectable(name: string): boolean {
  const plain = canonical(name);
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name) || plain.startsWith('daypass-') || plain.startsWith('sec-websocket-'))
    return false;
  return (
    plain === 'authorization' ||
    !(HOP_BY_HOP.has(plain) || plain === 'host' || plain === 'expect' || plain.startsWith('content-'))
  );
}

/**
 * The headers a service gets: the client's without those of its connection, of the gateway and of the injected names, then
 * ours. The client's `Connection` list is applied first, so that it can take away its own headers only (A3).
 */
export function requestHeaders(headers: readonly Header[], injected: readonly Header[], origin: Origin): Header[] {
  const listed = connectionList(headers);
  const ours = new Set(injected.map(([name]) => canonical(name)));
  const kept = headers.filter(([name]) => {
    const plain = canonical(name);
    return !listed.has(name.toLowerCase()) && !ours.has(plain) && isForwarded(plain);
  });
  return [
    ...kept,
    ['x-forwarded-for', origin.client],
    ['x-forwarded-proto', origin.proto],
    ['x-forwarded-host', origin.host],
    ['daypass-assertion', origin.assertion],
    ...injected,
  ];
}

function isForwarded(plain: string): boolean {
  if (HOP_BY_HOP.has(plain) || NOT_FORWARDED.has(plain) || OVERRIDES.has(plain)) return false;
  return !plain.startsWith('daypass-') && !plain.startsWith('x-forwarded-');
}

/** The headers a client gets of a service's answer: without those of its connection, and without any in our name. */
export function responseHeaders(headers: readonly Header[]): Header[] {
  const listed = connectionList(headers);
  return headers.filter(([name]) => {
    const plain = canonical(name);
    return !listed.has(name.toLowerCase()) && !HOP_BY_HOP.has(plain) && !plain.startsWith('daypass-');
  });
}

/** The names that `Connection` takes away; framing and what makes a message whole cannot be taken. */
function connectionList(headers: readonly Header[]): Set<string> {
  const names = headers
    .filter(([name]) => name.toLowerCase() === 'connection')
    .flatMap(([, value]) => value.split(','));
  const listed = new Set(names.map((name) => name.trim().toLowerCase()));
  for (const name of ['content-length', 'content-type', 'content-encoding', 'content-range']) listed.delete(name);
  return listed;
}

/** Pairs from Node's flat list of names and values. */
export function pairs(raw: readonly string[]): Header[] {
  const headers: Header[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) headers.push([raw[at] ?? '', raw[at + 1] ?? '']);
  return headers;
}

/** All values of one header, in order. */
export function valuesOf(headers: readonly Header[], name: string): string[] {
  return headers.filter(([other]) => other.toLowerCase() === name).map(([, value]) => value);
}
