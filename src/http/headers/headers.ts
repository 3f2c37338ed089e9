import type { Header } from '../action.js';
import { setsOurs, withoutOurCookies } from '../browser/cookies.js';
import { escapeOf } from '../rules/escapes.js';
import { readChallenges } from './challenges.js';
import { trimmed } from './header-line.js';
import { isWithheld } from './withheld.js';

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

/** Names of HTTP's own that have a hyphen: spelled otherwise, only a second reader would take them for what they say. */
const STANDARD = /^(?:content-|accept-|if-|sec-|access-control-|cache-control$|user-agent$|max-forwards$)/;

/** A subprotocol that carries a credential of the client's own: Kubernetes takes bearer tokens from there. */
export function isCredentialProtocol(name: string): boolean {
  return /^base64url\.bearer\.|dp_[0-9A-Za-z]{22}_/i.test(name);
}

/** Who asked, and how, for the service's own use. */
export interface Origin {
  readonly client: string;
  /** The Host the client asked for. */
  readonly host: string;
  readonly proto: 'http' | 'https';
  /** The signed assertion of who stands behind the request. */
  readonly assertion: string;
}

/**
 * How header names are compared. Servers that map them to variables see no difference in case, `-` and `_`; in PHP behind some
 * of them `.` is the same, too, and lighttpd writes `_` for whatever is neither letter nor digit. grpc-gateway (etcd, Argo CD)
 * takes `Grpc-Metadata-Authorization` for `Authorization`, and so with every other name.
 */
export function canonical(name: string): string {
  const known = CANONICAL.get(name);
  if (known !== undefined) return known;
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '-')
    .replace(/^grpc-metadata-(?:grpcgateway-)?/, '');
  if (CANONICAL.size < MOST_KNOWN && name.length <= LONGEST_KNOWN) CANONICAL.set(name, plain);
  return plain;
}

/** Whether a name is this canonical one for some servers, and another for others. */
export function isRespelled(name: string, plain: string): boolean {
  return canonical(name) === plain && name.toLowerCase() !== plain;
}

/** The names that were seen first: most are seen again and again. */
const CANONICAL = new Map<string, string>();
const MOST_KNOWN = 1_000;
const LONGEST_KNOWN = 64;

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

/** Whether a rule may name a header: it must reach the service as the client sent it, and be no credential of the gateway's. */
export function isCondition(name: string): boolean {
  const plain = canonical(name);
  return name === plain && isForwarded(name, plain) && !CHANGED.has(plain) && !plain.startsWith('content-');
}

/** Of these not all goes on. */
const CHANGED = new Set(['cookie', 'cookie2', 'accept-encoding']);

/**
 * The headers a service gets: the client's without those of its connection, of the gateway and of the injected names, then
 * ours. The client's `Connection` list is applied first, so that it can take away its own headers only (A3).
 * @param passesAuthorization - the client's `Authorization` is for the service, and none of ours
 */
export function requestHeaders(
  headers: readonly Header[],
  injected: readonly Header[],
  origin: Origin,
  passesAuthorization = false,
): Header[] {
  const listed = connectionList(headers);
  const ours = new Set(injected.map(([name]) => canonical(name)));
  const kept = headers.flatMap((header): readonly Header[] => {
    const [name, value] = header;
    const plain = canonical(name);
    if (listed.has(name.toLowerCase()) || ours.has(plain)) return [];
    if (plain === 'authorization' ? !passesAuthorization : !isForwarded(name, plain)) return [];
    if (plain === 'accept-encoding') return [[name, readableCodings(value)]];
    if (plain !== 'cookie' && plain !== 'cookie2') return [header];
    const others = withoutOurCookies(value);
    return others === '' ? [] : [[name, others]];
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

/** Of the ways in which an answer may be packed those that can be unpacked here, for the record (`zstd` is none of them in Node 20). */
function readableCodings(accepted: string): string {
  const readable = accepted.split(',').filter((one) => READABLE.test(one));
  return readable.length === 0 ? 'identity' : readable.join(',').trim();
}

const READABLE = /^[\t ]*(?:gzip|x-gzip|deflate|br|identity|\*)[\t ]*(?:;|$)/i;

/** Whether a client's header reaches the service, where `Connection` does not take it away. @param plain - its canonical name */
export function isForwarded(name: string, plain: string): boolean {
  if (HOP_BY_HOP.has(plain) || isWithheld(plain)) return false;
  return !(STANDARD.test(plain) && isRespelled(name, plain));
}

/**
 * The headers a client gets of a service's answer: without those of its connection, and without any in our name. A service
 * speaks for itself alone: its cookies reach no sibling and are none of the gateway's, `Clear-Site-Data` would clear those of
 * all siblings, `Alt-Svc` leads nobody past the gateway, `NEL` has browsers report every address of the host elsewhere, those
 * with a hand-over code among them, and what leads to its own address leads to where the client knows it. It asks for no password
 * that would not reach it.
 */
export function responseHeaders(headers: readonly Header[], service: ServiceAddress): Header[] {
  const listed = connectionList(headers);
  const kept: Header[] = [];
  for (const header of headers) {
    const [name, value] = header;
    const plain = canonical(name);
    if (NOT_ANSWERED.has(plain) || plain.startsWith('daypass-') || TO_SHARED_CACHES.test(plain)) continue;
    if (listed.size > 0 && listed.has(name.toLowerCase())) continue;
    if (plain === 'set-cookie' || plain === 'set-cookie2') {
      if (!setsOurs(value)) kept.push([name, publicCookie(value, service)]);
    } else if (plain === 'www-authenticate' && !service.passesAuthorization) {
      const { passed, withheld } = readChallenges(value);
      if (withheld.length === 0) kept.push(header);
      else if (passed !== '') kept.push([name, passed]);
    } else if (plain === 'refresh') kept.push([name, publicRefresh(value, service)]);
    else kept.push(LEADING.has(plain) ? [name, publicLocation(value, service)] : header);
  }
  return kept;
}

/** The schemes of the challenges that `responseHeaders` leaves out: a service that asks in vain is to be seen. */
export function withheldFrom(headers: readonly Header[], { passesAuthorization }: ServiceAddress): readonly string[] {
  if (passesAuthorization) return [];
  return valuesOf(headers, 'www-authenticate').flatMap((value) => readChallenges(value).withheld);
}

const NOT_ANSWERED = new Set([...HOP_BY_HOP, 'service-worker-allowed', 'alt-svc', 'clear-site-data', 'nel']);

/** What tells caches that many share to keep an answer, whatever `Cache-Control` says (RFC 9213, and words of their own). */
const TO_SHARED_CACHES = /-cache-control$|^(?:surrogate-control|edge-control|x-accel-expires)$/;

/**
 * An answer to somebody who was let in, which no cache before the gateway may give to whoever asks next (RFC 9111 section
 * 5.2.2.7): services that leave it to the gateway who is let in call it public, and CDNs keep what is called nothing. Of two
 * directives that contradict each other the stricter one counts.
 */
export function privately(headers: readonly Header[]): readonly Header[] {
  // What stands in quotes is no directive.
  const said = membersOf(valuesOf(headers, 'cache-control').filter((value) => !value.includes('"')));
  return said.some((one) => one === 'private' || one === 'no-store')
    ? headers
    : [...headers, ['Cache-Control', 'private']];
}

/** The attribute as browsers find it (RFC 6265 section 5.2). */
const COOKIE_DOMAIN = /;[\t ]*domain[\t ]*(?:=[^;]*)?(?=;|$)/gi;

/** A cookie that is for no sibling, and for those paths under which the client reaches what the service set it for. */
function publicCookie(cookie: string, { basePath }: ServiceAddress): string {
  const own = cookie.replace(COOKIE_DOMAIN, '');
  if (basePath === '') return own;
  return own.replace(COOKIE_PATH, (all, attribute: string, value: string) => {
    const path = trimmed(value); // as browsers do
    return `${path}/`.startsWith(`${basePath}/`) ? `${attribute}${path.slice(basePath.length) || '/'}` : all;
  });
}

const COOKIE_PATH = /(;[\t ]*path[\t ]*=[\t ]*)([^;]*)/gi;

/** What a service may call itself, and what stands before every path of its own. */
interface ServiceAddress {
  readonly origins: readonly string[];
  readonly basePath: string;
  readonly passesAuthorization: boolean;
}

/** Headers that are an address, where a client goes to or which it keeps. */
const LEADING = new Set(['location', 'content-location']);

/** `Refresh` says before its address after how many seconds (HTML, shared declarative refresh steps). */
function publicRefresh(value: string, service: ServiceAddress): string {
  const [, before = '', address = '', behind = ''] = REFRESH.exec(value) ?? [];
  return address === '' ? value : before + publicLocation(address, service) + behind;
}

const REFRESH = /^(\s*[\d.]+[\s;,]+(?:url\s*=\s*)?["']?)([^"']+)(.*)$/is;

/** An address at the service itself becomes a path under which the client reaches the same. */
function publicLocation(location: string, { origins, basePath }: ServiceAddress): string {
  // A path alone is the same here and there, but for what stands before all paths of the service.
  const known = basePath === '' ? /^\s*(?:https?:)?[\\/]{2}/i : /^\s*(?:https?:)?[\\/]/i;
  if (!known.test(location)) return location;
  // Header values are bytes, which clients take for UTF-8: as characters they would be encoded once more.
  const plain = location.replace(/[\x80-\xff]/g, escapeOf);
  if (!URL.canParse(plain, origins[0])) return location;
  const named = new URL(plain, origins[0]);
  if (!origins.some((origin) => URL.canParse(origin) && isSameServer(named, new URL(origin)))) return location;
  if (!`${named.pathname}/`.startsWith(`${basePath}/`)) return location;
  const path = named.pathname.slice(basePath.length) || '/';
  // What begins with two slashes would be another host.
  return path.startsWith('//') ? location : `${path}${named.search}${named.hash}`;
}

/**
 * Whether two addresses have one host and port. `http:` and `https:` are no difference: a service without TLS that is told its
 * clients use it writes `https:` before its own host. The default ports are none either, since no port is written for both.
 */
function isSameServer(one: URL, other: URL): boolean {
  return one.hostname === other.hostname && (one.port === other.port || portOf(one) === portOf(other));
}

/** The port of an http(s) address, also where it is the scheme's own and therefore not written. */
function portOf({ port, protocol }: URL): string {
  if (port !== '') return port;
  return protocol === 'https:' ? '443' : '80';
}

/** The names that `Connection` takes away; framing and what makes a message whole cannot be taken. */
export function connectionList(headers: readonly Header[]): ReadonlySet<string> {
  const values = valuesOf(headers, 'connection');
  if (values.length === 0) return NONE;
  const listed = new Set(membersOf(values));
  for (const name of ['content-length', 'content-type', 'content-encoding', 'content-range']) listed.delete(name);
  return listed;
}

const NONE: ReadonlySet<string> = new Set();

/** The members of a list of tokens, in lower case; empty ones are none (RFC 9110 section 5.6.1). */
export function membersOf(values: readonly string[]): string[] {
  const members = values.flatMap((value) => value.split(','));
  return members.map((member) => trimmed(member).toLowerCase()).filter((member) => member !== '');
}

/** All values of one header, in order. */
export function valuesOf(headers: readonly Header[], name: string): string[] {
  const values: string[] = [];
  for (const [other, value] of headers) {
    if (other.length === name.length && other.toLowerCase() === name) values.push(value);
  }
  return values;
}
