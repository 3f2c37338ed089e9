/*
 * The Postgres port.
 *
 *   client                     gateway                                    database
 *     | (PROXY header) --------> | of listed proxies, whose client counts     |
 *     | SSLRequest ------------> |                                            |
 *     | <------------------- S/N | (TLS; nothing read before it counts)       |
 *     | StartupMessage --------> | user, database, options                    |
 *     | <------ ask for password |                                            |
 *     | PasswordMessage: handle> | gate.admit: grant, store, ledger           |
 *     |                          | record: open --> committed                 |
 *     |                          | StartupMessage of our own ---------------> |
 *     |                          | <------------------ SCRAM, injected login  |
 *     | <- AuthenticationOk, cancel key of our own, ReadyForQuery              |
 *     |                          |                                            |
 *     | Query / Parse..Sync ---> | decide, record --> committed               |
 *     |                          | as sent, or what cannot run -------------> |
 *     | <----------------------- | <---------------- rows / its error         |
 *     |                          | record: result                             |
 *     |                   (end)  | CancelRequest + close -------------------> |
 *     | <------- FATAL 57P01     |                                            |
 */
import { X509Certificate } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type { Clock } from '../clock.js';
import type { ListedProxies } from '../config/proxies.js';
import { DaypassError, messageOf } from '../errors.js';
import type { Carried, TakeCarried } from '../gate/carried.js';
import type { Gate } from '../gate/gate.js';
import { takeProxyHeader } from '../gate/proxied.js';
import { type Guest, KNOWN, Strangers } from '../gate/strangers.js';
import type { Log } from '../log.js';
import { Metrics } from '../metrics.js';
import type { DenialReason } from '../policy/reason.js';
import { SECURED } from '../session/secured.js';
import { askedAtPort, askedInTunnel } from './asked.js';
import { CancelKeys, type Neighbours } from './cancel.js';
import { Catalogs } from './catalog/keeper.js';
import { tlsServerEndPoint } from './channel-binding.js';
import { StartupRefused } from './input.js';
import { Joining, reportOf } from './joining.js';
import { type MemoryLimits, SessionsMemory } from './memory.js';
import { openConnection, refusalOfStart, refuseConnection } from './startup.js';
import { loadCatalog } from './upstream-catalog.js';

export interface PostgresParts {
  readonly gate: Gate;
  readonly clock: Clock;
  readonly log: Log;
  readonly host: string;
  readonly port: number;
  /** The listener's certificate; clients off loopback are refused without TLS. */
  readonly tls?: Pair | undefined;
  /** Who begins each connection with a PROXY header, and is believed what it says; nobody unless given. */
  readonly proxies?: { readonly from: ListedProxies } | undefined;
  /** Given when several processes share the port. */
  readonly neighbours?: Neighbours | undefined;
  /** Where clients are counted that were not let in; of its own unless given. */
  readonly strangers?: Strangers | undefined;
  /** How long the handshake with a client may take, milliseconds; 10,000 unless told. */
  readonly handshakeLimit?: number;
  /** The same with an upstream. */
  readonly dialLimit?: number;
  /** What all sessions may take of the memory; see there. */
  readonly memory?: MemoryLimits | undefined;
}

/** A certificate (its chain behind it) and its key: PEM texts. */
interface Pair {
  readonly cert: string;
  readonly key: string;
}

export interface PostgresListener {
  readonly port: number;
  /** Shows another certificate to connections from here on. Nothing for a listener without one. */
  replaceCertificate(tls: Pair): void;
  /** Takes what comes through a tunnel, as if it had come to the port. */
  readonly take: TakeCarried;
  /** Closes what has not become a session; sessions are the gate's to end. */
  stop(): void;
}

/** No phase before the session may last longer than this, however slowly a client sends (THREATS.md C18), milliseconds. */
const HANDSHAKE_LIMIT = 10_000;

/** Listens for PostgreSQL clients. */
export async function startPostgres(parts: PostgresParts): Promise<PostgresListener> {
  const door = new Door(parts);
  const server = createServer(
    { pauseOnConnect: true, noDelay: true, keepAlive: true },
    (socket) => void door.open(peerAt(socket)),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(parts.port, parts.host, resolve);
  });
  server.on('error', (thrown) => parts.log.error({ err: messageOf(thrown) }, 'the Postgres listener failed'));
  return {
    port: portOf(server),
    take: (carried) => void door.open(peerIn(carried)),
    replaceCertificate: (tls) => door.replaceCertificate(tls),
    stop: () => {
      server.close();
      door.close();
    },
  };
}

/** What a connection is secured with, and what binds a client's proof to it. */
interface Secured {
  readonly context: SecureContext;
  readonly binding: Buffer | null;
}

function securedBy(tls: Pair): Secured {
  return {
    context: createSecureContext({ ...tls, ...SECURED }),
    binding: tlsServerEndPoint(new X509Certificate(tls.cert).raw),
  };
}

/** The other end of a connection, before anything was read of it. */
interface Peer {
  readonly stream: Duplex;
  /** Its address and port, and the address alone. */
  readonly client: string;
  readonly address: string | undefined;
  /** Whether no byte leaves this machine on its way: such a client may do without TLS. */
  readonly isLocal: boolean;
  /** Given in a tunnel: who it is, and which service it leads to. */
  readonly carried: Carried | null;
}

function peerAt(stream: Socket): Peer {
  const { remoteAddress: address, remotePort } = stream;
  return { stream, client: `${address}:${remotePort}`, address, isLocal: isLoopback(address), carried: null };
}

function peerIn(carried: Carried): Peer {
  const { stream, client, address } = carried;
  return { stream, client, address, isLocal: false, carried };
}

class Door {
  readonly #parts: PostgresParts;
  readonly #handshakeLimit: number;
  #secured: Secured | null;
  readonly #keys: CancelKeys;
  readonly #catalogs: Catalogs;
  readonly #joining: Joining;
  readonly #strangers: Strangers;
  readonly #handshakes = new Set<Duplex>();

  constructor(parts: PostgresParts) {
    this.#parts = parts;
    const { clock, log, neighbours } = parts;
    this.#strangers = parts.strangers ?? new Strangers({ log, metrics: new Metrics() });
    this.#handshakeLimit = parts.handshakeLimit ?? HANDSHAKE_LIMIT;
    this.#catalogs = new Catalogs(loadCatalog, clock, log);
    this.#secured = parts.tls === undefined ? null : securedBy(parts.tls);
    this.#keys = new CancelKeys(neighbours);
    const { dialLimit = HANDSHAKE_LIMIT } = parts;
    const memory = new SessionsMemory(parts.memory);
    this.#joining = new Joining({ clock, log, keys: this.#keys, catalogs: this.#catalogs, dialLimit, memory });
    neighbours?.onPassed(async (pid, secret, client) => {
      await this.#keys.use(pid, secret, clock.monotonic(), client);
    });
  }

  replaceCertificate(tls: Pair): void {
    if (this.#secured !== null) this.#secured = securedBy(tls);
  }

  /** Closes what has not become a session. */
  close(): void {
    for (const socket of this.#handshakes) socket.destroy();
    this.#catalogs.stop();
  }

  /** Takes one connection from its first byte to a session. Never throws. */
  async open(arrived: Peer): Promise<void> {
    const { stream: raw } = arrived;
    let peer = arrived;
    raw.on('error', () => raw.destroy());
    this.#handshakes.add(raw);
    let socket = raw;
    const timer = setTimeout(() => raw.destroy(), this.#handshakeLimit);
    try {
      peer = await this.#behind(arrived);
      const secured = (encrypted: Duplex) => {
        socket = encrypted.on('error', () => encrypted.destroy());
      };
      const guest = peer.carried === null ? this.#strangers.came(raw, peer.address ?? '', 'postgres') : KNOWN;
      await this.#admit(peer, guest, secured, () => clearTimeout(timer));
    } catch (thrown) {
      const refusal = refusalOfStart(thrown);
      if (refusal.report !== null) this.#logRefused(peer, refusal.reason, refusal.rule, refusal.message);
      else if (!(thrown instanceof Error && thrown === refusal))
        this.#parts.log.debug({ err: messageOf(thrown) }, 'a connection ended early');
      refuseConnection(socket, refusal.report);
    } finally {
      clearTimeout(timer);
      this.#handshakes.delete(raw);
    }
  }

  /** Whom a listed proxy passes a connection on for; everybody else speaks for themselves. @throws StartupRefused */
  async #behind(peer: Peer): Promise<Peer> {
    const { stream, address, carried } = peer;
    if (carried !== null || this.#parts.proxies?.from.has(address ?? '') !== true) return peer;
    try {
      const passed = await takeProxyHeader(stream, this.#handshakeLimit);
      if (passed === null) return peer;
      if (passed === 'unknown') return { ...peer, isLocal: false };
      const client = `${passed.address}:${passed.port}`;
      return { ...peer, client, address: passed.address, isLocal: peer.isLocal && isLoopback(passed.address) };
    } catch (thrown) {
      const hasLeft = thrown instanceof DaypassError && thrown.code === 'client_left';
      if (!hasLeft) this.#logRefused(peer, 'malformed', 'PROXY header of a listed proxy', messageOf(thrown));
      throw new StartupRefused('malformed', null);
    }
  }

  /** One line for each client that is refused before the gate is asked; the gate has a line of its own. */
  #logRefused({ client }: Peer, reason: DenialReason, rule: string, err?: string): void {
    this.#parts.log.warn({ client, reason, rule, err }, 'a connection was refused');
  }

  async #admit(peer: Peer, guest: Guest, secured: (socket: Duplex) => void, admitted: () => void): Promise<void> {
    // The certificate may be replaced while the client logs in: its proof is bound to the one it was shown.
    const { stream: raw, client, address, carried } = peer;
    const shown = carried === null ? this.#secured : null;
    const plainAllowed = carried !== null || peer.isLocal;
    const opening = await openConnection(raw, shown?.context ?? null, plainAllowed, secured, carried !== null);
    if (opening.kind === 'cancel') {
      // Drivers send the next statement once this connection has ended: the server must have been told by then.
      const left = new Promise((resolve) => raw.once('close', resolve));
      await Promise.race([this.#cancel(opening.pid, opening.secret, address ?? ''), left]);
      return void raw.destroy();
    }
    const { socket, parameters, minor, login } = opening;
    const binding = socket instanceof TLSSocket ? (shown?.binding ?? null) : null;
    const asked = carried === null ? askedAtPort(parameters, login, binding) : askedInTunnel(parameters, carried);
    guest.asks();
    const answer = await this.#parts.gate.admit({ protocol: 'postgres', ...asked, client, address, guest });
    admitted();
    if (login.kind === 'scram') login.end();
    if (!answer.ok) return refuseConnection(socket, reportOf(answer.decision));
    carried?.began(answer.admission.session);
    await this.#joining.join(socket, parameters, answer.admission, minor);
  }

  /** Resolves when the server has been told, or is not to be. */
  async #cancel(pid: number, secret: Buffer, client: string): Promise<void> {
    const place = this.#keys.placeOf(secret);
    if (place !== null) await this.#parts.neighbours?.pass(place, pid, secret, client);
    else await this.#keys.use(pid, secret, this.#parts.clock.monotonic(), client);
  }
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(127\.|::1$|::ffff:127\.)/.test(address);
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
