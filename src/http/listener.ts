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
 * A WebSocket goes the same way to its 101; then each message of the client is an action of its own (websocket.ts).
 */
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import { type AddressInfo, type Server as NetServer, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../clock.js';
import type { HttpProxies } from '../config/proxies.js';
import { DaypassError, messageOf } from '../errors.js';
import type { Carried, TakeCarried } from '../gate/carried.js';
import type { Gate } from '../gate/gate.js';
import type { BrowserAccess } from '../identity/browser-access.js';
import type { Log } from '../log.js';
import { Metrics } from '../metrics.js';
import { carriedBy } from '../session/connection.js';
import { drain } from './body.js';
import type { ApiDoor } from './browser/api-side.js';
import { originOf, schemeOf } from './browser/place.js';
import type { RequestDesk } from './browser/request-side.js';
import { type Refusal, refusalFor, sendRawRefusal, sendRefusal } from './deny.js';
import { type HttpParts, serveRequest } from './dispatch.js';
import { Faults } from './faults.js';
import { frontOf } from './front.js';
import { Heads } from './head.js';
import type { Identity } from './identity.js';
import { Rates } from './rate.js';
import { Turns } from './turns.js';
import { UPSTREAM_LIMITS, Upstreams } from './upstream.js';
import type { UpstreamLimits } from './upstream-pool.js';
import { serveUpgrade } from './websocket.js';
import { carries, clientAt, clientOf, noteWhence } from './whence.js';

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
  /** Of its own, which nobody scrapes, when not given. */
  readonly metrics?: Metrics;
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
/** Bytes of a request's head: more is 431. */
const HEAD_BYTES = 16 * 1024;
const KEEP_ALIVE = 65_000;
/** How much of a body waits for a client, or for a service, before the other side is told to wait, bytes. */
const BUFFERED = 256 * 1024;

/** Starts to serve HTTP and WebSocket. Rejects when the address cannot be listened on. */
export async function startHttp(options: HttpOptions): Promise<HttpListener> {
  const { gate, log, clock, domain } = options;
  const upstreams = new Upstreams(options.upstreamLimits ?? UPSTREAM_LIMITS);
  const monotonic = () => clock.monotonic();
  const parts: HttpParts = {
    gate,
    log,
    faults: new Faults(log, options.metrics ?? new Metrics()),
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
    open: new WeakMap(),
    asked: new WeakMap(),
    heads: new Heads(domain),
    turns: new Turns(),
    rates: new Rates(),
  };
  const settings: ServerOptions = {
    maxHeaderSize: HEAD_BYTES,
    insecureHTTPParser: false,
    requireHostHeader: false, // Node would answer in words of its own, and tell nobody; ours refuses
    headersTimeout: options.headTimeout ?? HEAD_TIMEOUT,
    requestTimeout: 0, // an upload may take as long as its grant
    connectionsCheckingInterval: Math.min(1_000, options.headTimeout ?? HEAD_TIMEOUT),
    keepAliveTimeout: KEEP_ALIVE,
    noDelay: true,
    highWaterMark: BUFFERED,
  };
  const server = open(options, settings);
  const door = doorOf(server, options, parts);
  const sockets = new Set<Socket>();
  door.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  if (options.proxies !== undefined) noteFirst(server, options.proxies);
  serveOn(server, parts);
  const tunnels = createServer(settings);
  serveOn(tunnels, parts);
  tunnels.emit('listening'); // it never does: from here on it looks for heads that take too long
  const take = (one: Carried) => {
    parts.carried.set(one.stream, one);
    tunnels.emit('connection', one.stream);
  };
  const address = await listening(door, options);
  const stop = () => {
    tunnels.close(() => {}); // what it has ends with the connections that carry it
    if (door !== server) server.close(() => {}); // it never listened itself
    server.closeIdleConnections();
    return stopServer(door, sockets, upstreams);
  };
  const replaceCertificate: HttpListener['replaceCertificate'] = (tls) => {
    if (server instanceof TlsServer) server.setSecureContext({ ...tls, minVersion: LEAST_TLS });
  };
  return { address, replaceCertificate, take, stop };
}

/** RFC 8996: 1.0 and 1.1 are not spoken any more. */
const LEAST_TLS = 'TLSv1.2';

/** A server that speaks TLS when it has a certificate. Each connection is known by the one that carries it. */
function open({ tls, headTimeout = HEAD_TIMEOUT }: HttpOptions, settings: ServerOptions): Server {
  if (tls === undefined) return createServer(settings);
  const { cert, key } = tls;
  const secured = { ...settings, cert, key, minVersion: LEAST_TLS, handshakeTimeout: headTimeout } as const;
  const server = createTlsServer({ ...secured, ALPNProtocols: ['http/1.1'] });
  const raw = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    raw.set(peer, socket);
    socket.once('close', () => raw.delete(peer));
  });
  server.on('secureConnection', (socket) => {
    const carrier = raw.get(peerOf(socket));
    if (carrier === undefined) socket.destroy();
    else {
      carriedBy(socket, carrier);
      carries(carrier, socket);
    }
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

/** What listens: the server itself, or what stands before it. */
function doorOf(
  server: Server,
  { proxies, headTimeout: within = HEAD_TIMEOUT }: HttpOptions,
  { faults }: HttpParts,
): NetServer {
  if (proxies?.client !== 'proxy-protocol') return server;
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

/** Before anything else looks at a request, what its proxy says of it is noted. */
function noteFirst(server: Server, proxies: HttpProxies): void {
  for (const event of ['request', 'checkContinue', 'checkExpectation', 'connect', 'upgrade'])
    server.on(event, (req: IncomingMessage) => noteWhence(req, proxies));
}

/** Where it listens really: a port may have been chosen by the system. */
function portOf(server: NetServer): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function serveOn(server: Server, parts: HttpParts): void {
  server.maxHeadersCount = 0; // Node would drop what is above its count; ours refuses (A8)
  const serve = (req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) =>
    inTurn(parts, req, res, () => {
      serveRequest(parts, req, res, expectsContinue).catch((thrown) => failed(parts, thrown, req, res));
    });
  server.on('request', (req, res) => serve(req, res, false));
  const refuse = (req: IncomingMessage, res: ServerResponse) =>
    inTurn(parts, req, res, () => refuseExpectation(parts, req, res));
  // Node looks whether 100-continue is among what is expected: more than that is not understood.
  const isUnderstood = ({ headers }: IncomingMessage) => headers.expect?.toLowerCase() === '100-continue';
  server.on('checkContinue', (req, res) => (isUnderstood(req) ? serve(req, res, true) : refuse(req, res)));
  server.on('checkExpectation', refuse);
  server.on('connect', (req, socket) => {
    if (mayTakeOver(parts, req, socket)) refuseConnect(parts, req, socket);
  });
  server.on('upgrade', (req, socket, head) => {
    if (!mayTakeOver(parts, req, socket)) return;
    serveUpgrade(parts, req, socket, head).catch((thrown) => {
      parts.faults.ours(clientOf(req), thrown, 'a WebSocket could not be served');
      socket.destroy();
    });
  });
  server.on('clientError', (error, socket) => answerUnreadable(parts, error, socket));
}

/** Serves a request when those before it on its connection are answered; ends a connection on which too many wait. */
function inTurn({ turns, faults }: HttpParts, req: IncomingMessage, res: ServerResponse, go: () => void): void {
  if (turns.take(req.socket, res, go)) return;
  faults.tell({ client: clientOf(req), status: 429, reason: 'too_many', rule: 'requests waiting on a connection' });
  req.socket.destroy();
}

/**
 * Whether a request may have its connection for itself. Node gives it out while answers to earlier requests are still to
 * come: they would land in the middle of what it opens.
 */
function mayTakeOver({ turns, faults }: HttpParts, req: IncomingMessage, socket: Duplex): boolean {
  socket.on('error', () => {});
  if (!turns.isTaken(socket)) return true;
  faults.tell({
    client: clientOf(req),
    status: 400,
    reason: 'bad_request',
    rule: 'no upgrade behind a pending answer',
  });
  socket.destroy();
  return false;
}

function refuseExpectation(parts: HttpParts, req: IncomingMessage, res: ServerResponse): void {
  const refusal = {
    status: 417,
    reason: 'bad_request',
    detail: 'This expectation is not understood.',
    hint: 'leave out Expect',
  };
  parts.faults.tell({ client: clientOf(req), status: 417, reason: refusal.reason, rule: 'Expect: 100-continue alone' });
  sendRefusal(res, refusal, { accept: req.headers.accept, close: true });
  drain(req);
}

function refuseConnect(parts: HttpParts, req: IncomingMessage, socket: Duplex): void {
  const refusal = { status: 405, reason: 'bad_request', detail: 'This gateway is no forward proxy.' };
  parts.faults.tell({ client: clientOf(req), status: 405, reason: refusal.reason, rule: 'no forward proxy' });
  sendRawRefusal(socket, refusal, { allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' });
}

/** A fault of our own: nothing passes, and the client learns no more than that. */
function failed({ faults }: HttpParts, thrown: unknown, req: IncomingMessage, res: ServerResponse): void {
  faults.ours(clientOf(req), thrown, 'a request could not be served');
  if (res.headersSent || res.destroyed) {
    req.socket.destroy();
    return;
  }
  const refusal = {
    status: 500,
    reason: 'internal',
    detail: 'The gateway failed to serve this request; nothing was forwarded.',
  };
  sendRefusal(res, refusal, { accept: req.headers.accept, close: true });
}

/** Answers bytes that are no request, or no longer one (a body that breaks its framing), and closes. */
function answerUnreadable(
  { open, asked, faults, turns }: HttpParts,
  error: NodeJS.ErrnoException,
  socket: Duplex,
): void {
  if (turns.isOver(socket)) return;
  const refusal = unreadable(error);
  const { status, reason } = refusal;
  // Whoever hangs up is not refused.
  if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') {
    const client = socket instanceof Socket ? clientAt(socket) : 'unknown';
    const tell = () => faults.tell({ client, status, reason, rule: 'readable request', why: error.code });
    const request = asked.get(socket);
    if (request === undefined || request.isWhole) tell();
    else request.unreadable(tell);
  }
  const exchanges = [...(open.get(socket) ?? [])];
  if (exchanges.length === 0) {
    sendRawRefusal(socket, refusal);
    return;
  }
  const told = exchanges.map((exchange) => exchange.clientFault(refusal));
  if (exchanges.length > 1 || told.includes(false)) socket.destroy();
}

function unreadable({ code }: NodeJS.ErrnoException): Refusal {
  if (code === 'HPE_HEADER_OVERFLOW')
    return refusalFor('too_large', `The head of the request is larger than ${HEAD_BYTES} bytes.`, { status: 431 });
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return refusalFor('too_large', 'The chunk extensions of the request are too large.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return { status: 408, reason: 'bad_request', detail: 'The head of the request took too long.' };
  return { status: 400, reason: 'bad_request', detail: 'This is not a request that HTTP/1.1 allows.' };
}

function listening(server: NetServer, { host, port }: HttpOptions): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(
        new DaypassError('listen_failed', `HTTP cannot listen on ${host}:${port}: ${messageOf(cause)}`, { cause }),
      );
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      const address = server.address();
      if (address === null || typeof address === 'string') fail(new Error('no address'));
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
