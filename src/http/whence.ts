import { TLSSocket } from 'node:tls';
import { type HttpProxies, plainAddress } from '../config/proxies.js';
import type { ClientRequest } from './client/request.js';
import { valuesOf } from './headers/headers.js';

/** A request, as far as it says where it comes from. */
type Coming = Pick<ClientRequest, 'socket' | 'headers'>;

/** Where a request comes from, and how its client speaks to whoever speaks to us. */
export interface Whence {
  readonly client: string;
  readonly proto: 'http' | 'https';
}

/** What listed proxies said: of requests, and of connections. */
const ofRequests = new WeakMap<object, Whence>();
const ofConnections = new WeakMap<object, string>();

/** A listed proxy said whom a connection is passed on for. */
export function passedOnFor(connection: object, client: string): void {
  ofConnections.set(connection, client);
}

/** What is known of a connection holds for the one that it carries. */
export function carries(carrier: object, inner: object): void {
  const client = ofConnections.get(carrier);
  if (client !== undefined) ofConnections.set(inner, client);
}

/** The client's address at the other end of a connection. */
export function clientAt(connection: { readonly remoteAddress?: string | undefined }): string {
  return ofConnections.get(connection) ?? connection.remoteAddress ?? 'unknown';
}

/** The address the client comes from: the socket's, or what a listed proxy says. No header of anybody else is believed (A4). */
export function clientOf(req: Coming): string {
  return ofRequests.get(req)?.client ?? clientAt(req.socket);
}

/** How the client comes: what a service builds absolute addresses from. */
export function protoOf(req: Coming): Whence['proto'] {
  return ofRequests.get(req)?.proto ?? protoAt(req);
}

function protoAt({ socket }: Coming): Whence['proto'] {
  return socket instanceof TLSSocket ? 'https' : 'http';
}

/**
 * Notes what the headers of a request say of where it comes from, if a listed proxy sent them. To be called before anything
 * asks, and never for what comes through a tunnel: its inner requests are no proxy's.
 */
export function noteWhence(req: Coming, { from, client: source }: HttpProxies): void {
  const peer = req.socket.remoteAddress ?? '';
  if (source === 'proxy-protocol' || !from.has(peer)) return;
  const { headers } = req;
  const hops = valuesOf(headers, source).flatMap((value) => value.split(','));
  const read = source === 'forwarded' ? readElement : readEntry;
  const client = clientBehind(peer, hops, (hop) => read(hop).address, from);
  const said =
    source === 'forwarded' ? readElement(hops.at(-1) ?? '').proto : valuesOf(headers, 'x-forwarded-proto').at(-1);
  ofRequests.set(req, { client, proto: readProto(said) ?? protoAt(req) });
}

/**
 * Each proxy adds whom it was asked by at the right. From there leftwards entries are believed as long as listed proxies wrote
 * them: the first address that is not listed is the client's, and whatever stands left of it is the client's own idea. Where a
 * proxy wrote no address, that proxy is all that is known.
 */
function clientBehind(
  peer: string,
  hops: readonly string[],
  addressOf: (hop: string) => string | null,
  listed: HttpProxies['from'],
): string {
  let known = peer;
  for (let at = hops.length - 1; at >= 0 && listed.has(known); at -= 1) {
    const address = addressOf(hops[at] ?? '');
    if (address === null) return known;
    known = address;
  }
  return known;
}

interface Hop {
  readonly address: string | null;
  readonly proto?: string | undefined;
}

/** An entry of X-Forwarded-For; some proxies write the port as well. */
function readEntry(text: string): Hop {
  return { address: nodeAddress(text.trim()) ?? plainAddress(text.trim()) };
}

/** RFC 7239 section 4, without quoted commas, semicolons and escapes, which nothing that counts here has. */
const PAIR = /^[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)|"([^"\\]*)")[ \t]*$/;

/** An element of Forwarded, `for="[2001:db8::7]:4711";proto=https`: each name once. */
function readElement(text: string): Hop {
  const told = new Map<string, string>();
  for (const part of text.split(';')) {
    const [, name = '', token, quoted = ''] = PAIR.exec(part) ?? [];
    if (name === '' || told.has(name.toLowerCase())) return { address: null };
    told.set(name.toLowerCase(), token ?? quoted);
  }
  return { address: nodeAddress(told.get('for') ?? ''), proto: told.get('proto') };
}

/** `192.0.2.7`, `192.0.2.7:4711`, `[2001:db8::7]`, `[2001:db8::7]:4711` (RFC 7239 section 6). */
const NODE = /^(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\])(?::\d{1,5})?$/;

function nodeAddress(text: string): string | null {
  const [, four, six] = NODE.exec(text) ?? [];
  return plainAddress(four ?? six ?? '');
}

function readProto(said: string | undefined): Whence['proto'] | null {
  const plain = said?.split(',').at(-1)?.trim().toLowerCase();
  return plain === 'http' || plain === 'https' ? plain : null;
}
