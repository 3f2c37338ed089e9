import { createServer, type Server as NetServer, type ServerOpts as NetServerOpts, Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { systemClock } from '../../clock.js';
import { type Guest, KNOWN } from '../../gate/strangers.js';
import { carriedBy } from '../../session/connection.js';
import { SECURED } from '../../session/secured.js';
import { MalformedMessage } from '../malformed.js';
import { carries } from '../whence.js';
import { ClientConnection, type ConnectionParts, type RequestHandler } from './connection.js';

/** What a server of HTTP/1.1 is made of. */
export interface ServerOptions {
  readonly handler: RequestHandler;
  readonly domain: string;
  /** How long the head of a request, or a TLS handshake, may take, milliseconds. */
  readonly headTimeout: number;
  /** How much of a body waits for a client before the service is told to wait, bytes. */
  readonly buffered: number;
  /** PEM texts; without them HTTP is plain. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Who is at the other end of a connection; nobody that is counted unless given. */
  readonly guestOf?: (socket: Socket) => Guest;
  /** Hears of a connection that is closed since no TLS came about on it. */
  readonly unsecured?: (socket: Socket, error: MalformedMessage) => void;
}

/** What may be agreed on in the handshake (RFC 7301), the first one where a client offers both. */
const SPOKEN = ['http/1.1', 'http/1.0'];
/** How often connections are looked at at least, milliseconds. */
const ROUND = 1_000;
/** How many connections are looked at in one turn. */
const LOOKED = 64;
/** Of a client of which nothing is heard for so long the system asks whether it is still there, milliseconds. */
const KEEP_ALIVE_PROBES = 60_000;

/** A connection that is open, and what of it speaks HTTP unless a WebSocket took it over. */
interface Open {
  readonly socket: Socket;
  /** The one below TLS; itself without. */
  readonly carrier: Socket;
  readonly speaker: ClientConnection;
}

/** A connection on which TLS comes about. */
interface Raw {
  readonly socket: Socket;
  readonly guest: Guest;
}

/** HTTP/1.1 on the clients' side (RFC 9112), plain or over TLS. */
export class HttpServer {
  /** How connections for it are accepted. */
  readonly settings: NetServerOpts;
  readonly #parts: ConnectionParts;
  readonly #guestOf: (socket: Socket) => Guest;
  readonly #tls: TlsServer | null;
  /** What TLS is spoken on, by its ends. */
  readonly #raw = new Map<string, Raw>();
  readonly #open = new Set<Open>();
  readonly #clock: NodeJS.Timeout;

  constructor(options: ServerOptions) {
    const { handler, domain, headTimeout, tls, guestOf = () => KNOWN } = options;
    this.#guestOf = guestOf;
    this.#parts = { handler, domain, headTimeout, connections: new Set() };
    const probed = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_PROBES };
    this.settings = { noDelay: true, allowHalfOpen: true, highWaterMark: options.buffered, ...probed };
    this.#tls = tls === undefined ? null : this.#secured(tls, options);
    this.#clock = setInterval(() => this.#look(), Math.min(ROUND, headTimeout));
    this.#clock.unref();
  }

  get isSecured(): boolean {
    return this.#tls !== null;
  }

  /** What listens for it, where nothing stands before it. */
  listener(): NetServer {
    return createServer(this.settings, (socket) => this.accept(socket));
  }

  /** Serves what comes on a connection, which speaks TLS first where this server does. */
  accept(socket: Socket): void {
    const guest = this.#guestOf(socket);
    if (this.#tls === null) return this.serve(socket, guest);
    socket.allowHalfOpen = false; // whoever ends its side amid the handshake has left
    const ends = endsOf(socket);
    this.#raw.set(ends, { socket, guest });
    socket.once('close', () => this.#raw.delete(ends));
    this.#tls.emit('connection', socket);
  }

  /** Serves what comes on a connection that needs no TLS. @param carrier - the one below, if it has that behind it */
  serve(socket: Socket, guest: Guest = KNOWN, carrier = socket): void {
    const open = { socket, carrier, speaker: new ClientConnection(socket, this.#parts, guest) };
    this.#open.add(open);
    socket.once('close', () => this.#open.delete(open));
  }

  /** Shows another certificate to connections from here on; those that are open keep theirs. Nothing for a plain server. */
  replaceCertificate(tls: { readonly cert: string; readonly key: string }): void {
    this.#tls?.setSecureContext({ ...tls, ...SECURED });
  }

  /** Stops looking at connections, and closes those on which nothing is under way. */
  close(): void {
    clearInterval(this.#clock);
    for (const { isIdle, socket } of [...this.#parts.connections]) if (isIdle) socket.destroy();
  }

  /** Each connection is known by the one that carries it. */
  #secured(
    tls: { readonly cert: string; readonly key: string },
    { headTimeout: handshakeTimeout, buffered, unsecured }: ServerOptions,
  ): TlsServer {
    const secured = { ...tls, ...SECURED, handshakeTimeout, allowHalfOpen: true } as const;
    const server = createTlsServer({ ...secured, ALPNProtocols: SPOKEN, highWaterMark: buffered });
    server.on('secureConnection', (socket) => {
      const raw = this.#raw.get(endsOf(socket));
      if (raw === undefined) return void socket.destroy();
      carriedBy(socket, raw.socket);
      carries(raw.socket, socket);
      socket.allowHalfOpen = true;
      this.serve(socket, raw.guest, raw.socket);
    });
    server.on('tlsClientError', (error, socket) => {
      const fault = faultOfHandshake(error);
      if (fault !== null) unsecured?.(this.#raw.get(endsOf(socket))?.socket ?? socket, fault);
      socket.destroy();
    });
    return server;
  }

  /** So many in one turn: thousands that were too slow together are not refused while everybody else waits. */
  #look(left = this.#open.values()): void {
    const now = systemClock.monotonic();
    for (let looked = 0; looked < LOOKED; looked += 1) {
      const { value, done } = left.next();
      if (done) return;
      if (this.#parts.connections.has(value.speaker)) value.speaker.look(now);
      askWhetherReset(value);
    }
    setImmediate(() => this.#look(left));
  }
}

/**
 * Where nothing is read, as what came before waits for a service, nobody would be told of a reset: the system tells who writes, also
 * nothing. Below TLS, which would have nothing to write.
 */
function askWhetherReset({ socket, carrier }: Open): void {
  const isIdle = socket.writable && socket.writableLength === 0 && carrier.writableLength === 0;
  if (isIdle && socket.isPaused() && carrier instanceof Socket) carrier.write('', 'latin1');
}

/** What was wrong with a handshake; null for a client that left. The code alone: what OpenSSL says besides changes with each version. */
function faultOfHandshake({ code = '' }: NodeJS.ErrnoException): MalformedMessage | null {
  if (!/^ERR_(?:SSL|TLS)_/.test(code)) return null;
  return new MalformedMessage(`no TLS: ${code}`, code === 'ERR_TLS_HANDSHAKE_TIMEOUT' ? 408 : 400);
}

/** Both its ends: a peer may use one of its ports towards several of our addresses. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
