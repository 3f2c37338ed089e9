import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { BROKEN, type TunnelStream } from '../api/tunnel-stream.js';
import { DaypassError, messageOf } from '../errors.js';
import { reset } from '../session/connection.js';
import { listenOnSocket } from './local-socket.js';
import { type OwnerOf, ownerOf } from './port-owner.js';

/** What a port does for the connections that come to it. */
export interface LocalPortParts {
  /** 0: whichever is free. */
  readonly port: number;
  /** Listens on this socket in place of the port, which is then a name alone. */
  readonly socket?: { readonly folder: string; readonly path: string } | undefined;
  /** Who is at the other end of a connection to the port; null where it cannot be told. The system's own answer unless given. */
  readonly owner?: OwnerOf | null;
  /** Opens a tunnel for a connection to this port. */
  readonly open: (port: number) => Promise<TunnelStream>;
  /** Tells a client that it cannot be connected, in its own protocol. */
  readonly refuse: (socket: Socket, why: string) => void;
  readonly events: PortEvents;
  /** How long opening is tried for a client that waits after the gateway was last there, milliseconds; 30 s unless told. */
  readonly patience?: number;
}

/** What becomes of connections. */
export interface PortEvents {
  /** The gateway ended one, and said why. */
  cut(reason: string): void;
  /** One broke: what was under way may have been done or not. */
  broken(): void;
  /** Another account of this machine came, or one that cannot be told, and was turned away. */
  stranger(uid: number | null): void;
  /** None could be opened. */
  refused(fault: DaypassError): void;
  /** The gateway is not there, or takes no more just now; it is tried again. */
  waiting(fault: DaypassError): void;
}

/** A port on this machine whose every connection has a tunnel of its own. */
export interface LocalPort {
  readonly port: number;
  readonly connections: number;
  /** Takes no more connections, and ends those that are open. */
  close(): void;
}

const PATIENCE = 30_000;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 4_000;
/** What passes by itself. */
const PASSING = new Set([
  'no_gateway',
  'shutting_down',
  'ledger_unavailable',
  'store_unavailable',
  'too_many_requests',
]);
const CUT = 4001;
/** How long clients may take for what they are told at the end, milliseconds. */
const LAST_WORDS = 500;

/** Listens on 127.0.0.1, or on a socket. @throws DaypassError `port_in_use`, `socket_in_use`, `socket_unsafe` */
export async function openLocalPort(parts: LocalPortParts): Promise<LocalPort> {
  const sockets = new Set<Socket>();
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    // Whoever was told the end may still have sent something, and nobody hears them leave before that is read.
    socket.once('finish', () => socket.resume());
    void carry(socket, parts);
  });
  const port = parts.socket === undefined ? await listening(server, parts.port) : parts.port;
  if (parts.socket !== undefined) await listenOnSocket(server, parts.socket.folder, parts.socket.path);
  return {
    port,
    get connections() {
      return sockets.size;
    },
    close: () => {
      server.close();
      // What the gateway said last is still on its way to them.
      setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, LAST_WORDS).unref();
    },
  };
}

async function listening(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new DaypassError('port_in_use', `Port ${port} of this machine cannot be used: ${messageOf(cause)}`, {
      cause,
      hint: 'Say another with --port.',
    });
  }
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

async function carry(socket: Socket, parts: LocalPortParts): Promise<void> {
  try {
    if (!(await isOurs(socket, parts))) return parts.refuse(socket, 'this port is for the account that opened it');
    const tunnel = await patiently(socket, parts);
    if (tunnel !== null) join(socket, tunnel, parts.events);
  } catch (thrown) {
    const fault = thrown instanceof DaypassError ? thrown : new DaypassError('failed', messageOf(thrown));
    parts.events.refused(fault);
    parts.refuse(socket, fault.message);
  }
}

/**
 * Whether whoever connects may: on a port every account of the machine can come. Only the very same account is let in, not root's either,
 * which can do without.
 */
async function isOurs(socket: Socket, { owner = ownerOf, socket: own, events }: LocalPortParts): Promise<boolean> {
  if (own !== undefined || owner === null) return true;
  const uid = await owner(socket).catch(() => null);
  if (uid !== null && uid === process.geteuid?.()) return true;
  if (!socket.destroyed) events.stranger(uid);
  return false;
}

/**
 * Opens a tunnel; while nothing of the client was sent yet, as often as it takes. A gateway that stops takes as long as its `drain`,
 * which it knows alone: patience is for what comes behind that.
 * @returns null when the client has left meanwhile
 */
async function patiently(socket: Socket, parts: LocalPortParts): Promise<TunnelStream | null> {
  const { open, events, patience = PATIENCE } = parts;
  const { localPort = parts.port } = socket;
  let until = performance.now() + patience;
  for (let wait = FIRST_WAIT; !socket.destroyed; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      return await open(localPort);
    } catch (thrown) {
      if (!(thrown instanceof DaypassError) || !PASSING.has(thrown.code)) throw thrown;
      const now = performance.now();
      if (thrown.code === 'shutting_down') until = now + patience;
      else if (now + wait > until) throw thrown;
      events.waiting(thrown);
    }
    await sleep(wait);
  }
  return null;
}

/** From here on every byte is sent once, by this tunnel or not at all. */
function join(socket: Socket, tunnel: TunnelStream, events: PortEvents): void {
  if (socket.destroyed) return void tunnel.destroy();
  socket.once('close', () => tunnel.end());
  tunnel.once('close', () => {
    const { ending } = tunnel;
    if (ending?.code === CUT) events.cut(ending.reason);
    else if (!socket.destroyed && !socket.readableEnded && (ending === null || ending.code === BROKEN)) {
      events.broken();
      reset(socket); // no client can take it for an end
      return;
    }
    socket.end();
  });
  socket.pipe(tunnel);
  tunnel.pipe(socket);
}
