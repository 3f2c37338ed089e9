import { createHash } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Header } from '../action.js';
import { isCredentialProtocol, membersOf, privately, responseHeaders, valuesOf } from '../headers/headers.js';
import type { Refusal } from '../refusals/deny.js';
import type { ResponseHead } from '../service/response-head.js';
import type { Addressed } from '../service/target.js';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Names are tokens (RFC 6455 section 4.1). Kubernetes' `SPDY/3.1+portforward.k8s.io` is none, for its slash, and known to every kubectl. */
const SUBPROTOCOL = /^[A-Za-z0-9!#$%&'*+./^_`|~-]+$/;

/** A client's wish for a WebSocket, found valid. */
export interface Wish {
  readonly key: string;
  readonly protocols: readonly string[];
}

export type ReadWish = { readonly ok: true; readonly wish: Wish } | { readonly ok: false; readonly refusal: Refusal };

/** A request as it concerns a handshake. */
interface Asking {
  readonly method: string;
  readonly headers: readonly Header[];
}

/** Checks a request for a WebSocket (RFC 6455 section 4.2.1). Anything but a GET for it alone, without a body, is refused. */
export function readWish({ method, headers }: Asking, head: Uint8Array): ReadWish {
  const upgrade = valuesOf(headers, 'upgrade');
  if (upgrade.length !== 1 || upgrade[0]?.toLowerCase() !== 'websocket')
    return refuse('Upgrade has to name websocket, and nothing else beside it.');
  if (method !== 'GET') return refuse('A WebSocket begins with GET.');
  const hasBody =
    valuesOf(headers, 'content-length').some((value) => value !== '0') ||
    valuesOf(headers, 'transfer-encoding').length > 0;
  if (hasBody || head.byteLength > 0)
    return refuse('The opening of a WebSocket has no body, and frames wait for its answer.');
  const [spoken, ...versions] = valuesOf(headers, 'sec-websocket-version');
  if (spoken !== '13' || versions.length > 0) return refuse('Only WebSocket version 13 is spoken.', 426);
  const [key, ...keys] = valuesOf(headers, 'sec-websocket-key');
  if (key === undefined || keys.length > 0 || !/^[A-Za-z0-9+/]{22}==$/.test(key))
    return refuse('Sec-WebSocket-Key is not a key.');
  const protocols = valuesOf(headers, 'sec-websocket-protocol').flatMap((value) =>
    value.split(',').map((name) => name.trim()),
  );
  if (protocols.some((name) => !SUBPROTOCOL.test(name)) || new Set(protocols).size < protocols.length) {
    return refuse('Sec-WebSocket-Protocol is not a list of different names.');
  }
  return { ok: true, wish: { key, protocols: protocols.filter((name) => !isCredentialProtocol(name)) } };
}

function refuse(detail: string, status = 400): ReadWish {
  return { ok: false, refusal: { status, reason: 'bad_request', detail } };
}

/** What `Sec-WebSocket-Accept` must say to a key. */
export function acceptFor(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64');
}

/** Why a service's 101, which has no body, opens nothing; null when it does (RFC 6455 section 4.1; A7). */
export function faultOf101(head: ResponseHead, key: string, wish: Wish): string | null {
  const { headers } = head;
  const one = (name: string) => {
    const values = valuesOf(headers, name);
    return values.length === 1 ? values[0] : undefined;
  };
  if (one('upgrade')?.toLowerCase() !== 'websocket') return 'no Upgrade: websocket';
  if (!membersOf(valuesOf(headers, 'connection')).includes('upgrade')) return 'no Connection: Upgrade';
  if (one('sec-websocket-accept') !== acceptFor(key)) return 'a wrong Sec-WebSocket-Accept';
  if (valuesOf(headers, 'sec-websocket-extensions').length > 0) return 'an extension nobody offered';
  const protocols = valuesOf(headers, 'sec-websocket-protocol');
  if (protocols.length > 1 || protocols.some((name) => !wish.protocols.includes(name)))
    return 'a subprotocol nobody offered';
  return null;
}

/** Without what only a handshake says, and each side says for itself. */
export function withoutHandshake(headers: readonly Header[]): Header[] {
  return headers.filter(([name]) => !/^(?:sec-websocket-.*|content-length)$/i.test(name));
}

/** The 101 for the client: our own answer to its key, the service's choice of subprotocol and its other headers. */
export function responseTo(wish: Wish, headers: readonly Header[], service: Addressed, expires: string): string {
  const protocol = valuesOf(headers, 'sec-websocket-protocol').map((name): Header => ['Sec-WebSocket-Protocol', name]);
  const ours: Header[] = [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Accept', acceptFor(wish.key)],
  ];
  const others = withoutHandshake(responseHeaders(headers, service));
  return headOf(101, [...ours, ...protocol, ...others, ['Daypass-Expires', expires]]);
}

/** A service's answer other than 101, as the client has it: a plain one, behind which the connection ends. */
export function declinedTo({ status, headers }: ResponseHead, body: Buffer, service: Addressed): Buffer {
  const kept = withoutHandshake(privately(responseHeaders(headers, service)));
  // RFC 9110 section 8.6: of an answer that has no body none is told of.
  const length: Header[] = status === 204 || status === 304 ? [] : [['Content-Length', String(body.byteLength)]];
  return Buffer.concat([Buffer.from(headOf(status, [...kept, ...length, ['Connection', 'close']]), 'latin1'), body]);
}

function headOf(status: number, headers: readonly Header[]): string {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n`;
}
