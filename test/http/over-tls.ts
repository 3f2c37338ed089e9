import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type ServerOpts, type Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { carriedBy, reset } from '../../src/session/connection.js';
import { selfSigned } from '../support/certificate.js';

/**
 * Which connections of the tests of this process speak TLS where a test does not say it: as the environment says, or set before
 * anything is started.
 */
export const overTls = {
  /** Those of clients. */
  clients: process.env.OVER_TLS?.includes('clients') === true,
  /** Those to services. */
  services: process.env.OVER_TLS?.includes('services') === true,
};

type Pair = Awaited<ReturnType<typeof selfSigned>>;
type WebSocketOptions = ConstructorParameters<typeof WebSocket>[2];

let made: Promise<Pair> | null = null;
let authority: string | null = null;

/** One certificate for all that is not about certificates. */
export function anyPair(): Promise<Pair> {
  made ??= selfSigned('web.localhost').then((pair) => {
    const folder = mkdtempSync('/tmp/dp-ca-');
    process.once('exit', () => rmSync(folder, { recursive: true }));
    authority = `${folder}/ca.pem`;
    writeFileSync(authority, pair.cert);
    return pair;
  });
  return made;
}

/** The certificates of gateways that speak TLS, by their ports. */
const certificates = new Map<number, string>();

/** What clients of this port speak from here on: it may have been another gateway's. @param certificate - of TLS; undefined for plain */
export function speaksFromNow(port: number, certificate: string | undefined): void {
  if (certificate === undefined) certificates.delete(port);
  else certificates.set(port, certificate);
}

/** The connections under those that speak TLS. */
const below = new WeakMap<Socket, Socket>();

/** Breaks a connection off by a reset, whatever it speaks. */
export function resetConnection(socket: Socket): void {
  const carrier = below.get(socket);
  if (carrier !== undefined) carriedBy(socket, carrier);
  reset(socket);
}

/** Ends a connection below what it speaks: nobody says that end there. */
export function endBelow(socket: Socket): void {
  (below.get(socket) ?? socket).end();
}

/** Connects to a gateway as it expects. */
export function dial(port: number, options: { readonly allowHalfOpen?: boolean } = {}): Socket {
  const ca = certificates.get(port);
  const carrier = connect({ port, host: '127.0.0.1', ...options });
  if (ca === undefined) return carrier;
  const secured = connectTls({ socket: carrier, ca, servername: 'web.localhost', ...options });
  carrier.on('error', () => {});
  below.set(secured, carrier);
  return secured;
}

/** A WebSocket of a client to a gateway, as that expects it. */
export function dialWebSocket(
  port: number,
  path: string,
  options: WebSocketOptions = {},
  protocols: readonly string[] = [],
): WebSocket {
  const ca = certificates.get(port);
  const secured = ca === undefined ? {} : { ca, servername: 'web.localhost' };
  return new WebSocket(`${ca === undefined ? 'ws' : 'wss'}://127.0.0.1:${port}${path}`, [...protocols], {
    ...options,
    ...secured,
  });
}

/** A server on loopback that stands for a service: each connection is given over when it may be written to. */
export async function serviceServer(
  connected: (socket: Socket) => void,
  options: ServerOpts = {},
): Promise<{ readonly server: Server; readonly scheme: 'http' | 'https' }> {
  if (!overTls.services) return { server: createServer(options, connected), scheme: 'http' };
  const pair = await anyPair();
  const server = createServer(options, (carrier) => {
    const secured = new TLSSocket(carrier, { isServer: true, ...pair, ...options });
    for (const socket of [carrier, secured]) socket.on('error', () => {});
    below.set(secured, carrier);
    secured.once('secure', () => connected(secured));
  });
  return { server, scheme: 'https' };
}

/** What a service of a test is verified by where the test does not say. */
export function authorityOf(url: string): { readonly ca: { readonly file: string } } | undefined {
  return url.startsWith('https:') && authority !== null ? { ca: { file: authority } } : undefined;
}
