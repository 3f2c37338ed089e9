/*
 * HTTP through the gateway:
 *
 *   client                       gateway                             recorder      service
 *     | request head ------------> |                                    |             |
 *     |                            | framing, Host, handle              |             |
 *     |                            | gate.admit (first request only)    |             |
 *     |                            | readTarget -> decide               |             |
 *     |                            | propose: action + decision ------> |             |
 *     | <---- 4xx problem+json --- | (denied: ends here)                |             |
 *     |                            | <------------------- committed --- |             |
 *     | <---- 100 Continue ------- | (if asked for)                     |             |
 *     | request body ------------> | ------------- request, body as it comes -------> |
 *     |                            | <------------- response head, body as it comes - |
 *     | <------- response -------- | session.deliver: live before every write         |
 *     |                            | result ----------------------------> |           |
 *     |                            |                                      |           |
 *     |                            | * the grant ends: upstream aborted, 401 if no    |
 *     | <--- 401, or cut off ----- |   head was sent, else the transfer breaks off    |
 *
 * A WebSocket goes the same way to its 101; then each message of the client is an action of its own (websocket/relay.ts).
 */
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import type { Clock } from '../clock.js';
import type { HttpProxies } from '../config/proxies.js';
import type { TakeCarried } from '../gate/carried.js';
import type { Gate } from '../gate/gate.js';
import { KNOWN, Strangers } from '../gate/strangers.js';
import type { BrowserAccess } from '../identity/browser-access.js';
import type { Log } from '../log.js';
import { Metrics } from '../metrics.js';
import { MessageMemory } from '../session/message-memory.js';
import type { ApiDoor } from './browser/api-side.js';
import { originOf, schemeOf } from './browser/place.js';
import type { RequestDesk } from './browser/request-side.js';
import { HttpServer } from './client/server.js';
import { frontOf } from './front.js';
import { handlerOf } from './handler.js';
import type { Identity } from './identity.js';
import type { MalformedMessage } from './malformed.js';
import type { HttpParts } from './parts.js';
import { Faults } from './refusals/faults.js';
import { Rates } from './rules/rate.js';
import { Upstreams } from './service/upstream.js';
import type { UpstreamLimits } from './service/upstream-pool.js';
import { UNFINISHED } from './websocket/unfinished.js';
import { clientAt } from './whence.js';

/** What the listener is made of. */
export interface HttpOptions {
  readonly gate: Gate;
  readonly log: Log;
  readonly clock: Clock;
  readonly domain: string;
  /** Signs what services are told of who stands behind a request. */
  readonly identity: Identity;
  /** Logins and sessions of browsers. */
  readonly access: BrowserAccess;
  /** Who answers below `/api` at the gateway's own host; without it there is nothing. */
  readonly api?: ApiDoor | undefined;
  /** What approvers' pages ask; without it there are none. */
  readonly desk?: RequestDesk | undefined;
  readonly host: string;
  readonly port: number;
  /** The origin of the gateway's own pages, when it is not what domain and port make it. */
  readonly publicUrl?: string | undefined;
  /** Who is believed when they say whom they ask for; nobody unless given. */
  readonly proxies?: HttpProxies | undefined;
  /** PEM texts; without them HTTP is plain. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** How long a client may take for a request's head, milliseconds; 10 s unless told. */
  readonly headTimeout?: number;
  readonly upstreamLimits?: UpstreamLimits;
  /** How much clients' large WebSocket messages may take at a time, bytes; 256 MiB unless told. */
  readonly messageMemory?: number | undefined;
  /** How long a WebSocket message may stand unfinished while nothing more of it comes, milliseconds; 60 s unless told. */
  readonly messageTimeout?: number | undefined;
  /** Of its own, which nobody scrapes, when not given. */
  readonly metrics?: Metrics;
  /** Where clients are counted that were not let in; of its own unless given. */
  readonly strangers?: Strangers | undefined;
}

/** A listener that is up. */
export interface HttpListener {
  readonly address: AddressInfo;
  /** Shows another certificate to connections from here on; those that are open keep theirs. Nothing for a plain listener. */
  replaceCertificate(tls: { readonly cert: string; readonly key: string }): void;
  /** Takes what comes through a tunnel, as if it had come to the address. */
  readonly take: TakeCarried;
  /** Stops accepting and closes what is open; live sessions are the gate's to cut before, and their farewells get out. */
  stop(): Promise<void>;
}

const HEAD_TIMEOUT = 10_000;
/** How much of a body waits for a client, or for a service, before the other side is told to wait, bytes. */
const BUFFERED = 256 * 1024;

/** Starts to serve HTTP and WebSocket. Rejects when the address cannot be listened on. */
export async function startHttp(options: HttpOptions): Promise<HttpListener> {
  const { gate, log, clock, domain, metrics = new Metrics() } = options;
  const { tls, proxies, headTimeout = HEAD_TIMEOUT, strangers = new Strangers({ log, metrics }) } = options;
  const upstreams = new Upstreams(options.upstreamLimits, strangers.shares);
  const monotonic = () => clock.monotonic();
  const parts: HttpParts = {
    gate,
    log,
    faults: new Faults(log, metrics),
    upstreams,
    identity: options.identity,
    access: options.access,
    api: options.api,
    desk: options.desk,
    scheme: schemeOf(domain, options.tls !== undefined, options.publicUrl),
    origin: () => originOf(domain, options.tls !== undefined, portOf(door), options.publicUrl),
    clock,
    domain,
    carried: new WeakMap(),
    monotonic,
    rates: new Rates(),
    messages: new MessageMemory(options.messageMemory),
    messageTimeout: options.messageTimeout ?? UNFINISHED,
  };
  const shared = { domain, headTimeout, buffered: BUFFERED };
  const unsecured = (socket: Socket, error: MalformedMessage) => tellUnsecured(parts, socket, error);
  const guestOf = (socket: Socket) =>
    speaksForMany(socket, proxies) ? KNOWN : strangers.came(socket, clientAt(socket), 'http');
  const server = new HttpServer({ ...shared, tls, unsecured, guestOf, handler: handlerOf(parts, proxies) });
  const door = doorOf(server, options, parts);
  const sockets = new Set<Socket>();
  door.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  // A Host says there how the local port is called (`selectCarried`), and never selects a service: none is asked a password for.
  const tunnels = new HttpServer({ ...shared, domain: '', handler: handlerOf(parts) });
  const take: TakeCarried = (one) => {
    parts.carried.set(one.stream, one);
    tunnels.serve(one.stream as Socket); // what of a socket is asked for, it has
  };
  const address = await listening(door, options);
  const stop = () => {
    tunnels.close();
    server.close();
    return stopServer(door, sockets, upstreams);
  };
  return { address, replaceCertificate: (given) => server.replaceCertificate(given), take, stop };
}

/** A listed proxy has its own clients on one connection, one after the other: it is for the proxy to keep strangers out. */
function speaksForMany({ remoteAddress = '' }: Socket, proxies: HttpProxies | undefined): boolean {
  return proxies !== undefined && proxies.client !== 'proxy-protocol' && proxies.from.has(remoteAddress);
}

/** What listens: the server itself, or what stands before it. */
function doorOf(
  server: HttpServer,
  { proxies, headTimeout: within = HEAD_TIMEOUT }: HttpOptions,
  { faults }: HttpParts,
): NetServer {
  if (proxies?.client !== 'proxy-protocol') return server.listener();
  const refused = (socket: Socket, why: string) =>
    faults.tell({
      client: clientAt(socket),
      status: 400,
      reason: 'bad_request',
      rule: 'PROXY header of a listed proxy',
      why,
    });
  return frontOf(server, { proxies, within, refused });
}

/** Where it listens really: a port may have been chosen by the system. */
function portOf(server: NetServer): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** A client that speaks no TLS, or none that is spoken here, gets no words that it could not read. */
function tellUnsecured({ faults }: HttpParts, socket: Socket, { status, message: why }: MalformedMessage): void {
  faults.tell({ client: clientAt(socket), status, reason: 'bad_request', rule: 'a TLS handshake', why });
}

function listening(server: NetServer, { host, port }: HttpOptions): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('no address'));
      else resolve(address);
    });
  });
}

/** How long what was said last may take to reach its clients, milliseconds. */
const FLUSH = 500;

function stopServer(server: NetServer, sockets: ReadonlySet<Socket>, upstreams: Upstreams): Promise<void> {
  const destroyAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const timer = setTimeout(destroyAll, FLUSH);
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  upstreams.close();
  return closed.finally(() => clearTimeout(timer));
}
