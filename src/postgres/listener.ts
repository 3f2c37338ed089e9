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
import type { Admission } from '../gate/admission.js';
import type { Carried, TakeCarried } from '../gate/carried.js';
import type { Credential } from '../gate/credential.js';
import type { AdmitRequest, Gate } from '../gate/gate.js';
import { Passage } from '../gate/passage.js';
import { takeProxyHeader } from '../gate/proxied.js';
import type { Log } from '../log.js';
import type { Decision } from '../policy/decision.js';
import { DENIALS, type DenialReason } from '../policy/reason.js';
import type { Connection } from '../session/connection.js';
import { type CancelKey, CancelKeys, type Neighbours } from './cancel.js';
import { Catalogs, type HeldCatalog } from './catalog/keeper.js';
import { tlsServerEndPoint } from './channel-binding.js';
import type { PostgresAction } from './decide.js';
import { refused } from './input.js';
import type { Login } from './login.js';
import { startupParameters } from './parameters.js';
import { asShown } from './pinned.js';
import { postgresProtocol } from './protocol.js';
import { Relay } from './relay.js';
import { type PostgresRole, postgresRole } from './role.js';
import { asRefusal, openConnection, refuseConnection, StartupRefused } from './startup.js';
import { dial, type Upstream } from './upstream.js';
import { loadCatalog } from './upstream-catalog.js';
import { authenticationOk, backendKeyData, parameterStatus, type Report, readyForQuery } from './wire/backend.js';

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
  /** How long each handshake may take, with a client and with an upstream, milliseconds; 10,000 unless told. */
  readonly handshakeLimit?: number;
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
/** Secret bytes of a cancel key under protocol 3.0, and under 3.2. */
const SHORT_KEY = 4;
const LONG_KEY = 32;
/** Connections that are not admitted yet, all together. */
const MOST_HANDSHAKES = 1_000;

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
  return { context: createSecureContext(tls), binding: tlsServerEndPoint(new X509Certificate(tls.cert).raw) };
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
  #secured: Secured | null;
  readonly #keys: CancelKeys;
  readonly #catalogs: Catalogs;
  readonly #handshakes = new Set<Duplex>();

  constructor(parts: PostgresParts) {
    this.#parts = parts;
    this.#catalogs = new Catalogs(loadCatalog, parts.clock, parts.log);
    this.#secured = parts.tls === undefined ? null : securedBy(parts.tls);
    this.#keys = new CancelKeys(parts.neighbours);
    parts.neighbours?.onPassed((pid, secret, client) => this.#keys.use(pid, secret, parts.clock.monotonic(), client));
  }

  get #handshakeLimit(): number {
    return this.#parts.handshakeLimit ?? HANDSHAKE_LIMIT;
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
    if (this.#handshakes.size >= MOST_HANDSHAKES) {
      this.#logRefused(peer, 'too_large', 'connections that are not admitted yet');
      return void raw.destroy();
    }
    this.#handshakes.add(raw);
    let socket = raw;
    const timer = setTimeout(() => raw.destroy(), this.#handshakeLimit);
    try {
      peer = await this.#behind(arrived);
      const secured = (encrypted: Duplex) => {
        socket = encrypted.on('error', () => encrypted.destroy());
      };
      await this.#admit(peer, secured, () => clearTimeout(timer));
    } catch (thrown) {
      const refusal = asRefusal(thrown);
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

  async #admit(peer: Peer, secured: (socket: Duplex) => void, admitted: () => void): Promise<void> {
    // The certificate may be replaced while the client logs in: its proof is bound to the one it was shown.
    const { stream: raw, client, address, carried } = peer;
    const shown = carried === null ? this.#secured : null;
    const plainAllowed = carried !== null || peer.isLocal;
    const opening = await openConnection(raw, shown?.context ?? null, plainAllowed, secured, carried !== null);
    if (opening.kind === 'cancel') {
      this.#cancel(opening.pid, opening.secret, address ?? '');
      return void raw.destroy();
    }
    const { socket, parameters, minor, login } = opening;
    const binding = socket instanceof TLSSocket ? (shown?.binding ?? null) : null;
    const asked = carried === null ? askedAtPort(parameters, login, binding) : askedInTunnel(parameters, carried);
    const answer = await this.#parts.gate.admit({ protocol: 'postgres', ...asked, client, address });
    admitted();
    if (login.kind === 'scram') login.end();
    if (!answer.ok) return refuseConnection(socket, reportOf(answer.decision));
    carried?.began(answer.admission.session);
    await this.#join(socket, parameters, answer.admission, minor);
  }

  #cancel(pid: number, secret: Buffer, client: string): void {
    const place = this.#keys.placeOf(secret);
    if (place !== null) this.#parts.neighbours?.pass(place, pid, secret, client);
    else this.#keys.use(pid, secret, this.#parts.clock.monotonic(), client);
  }

  /** The session exists from here on: whatever fails ends it. */
  async #join(socket: Duplex, asked: ReadonlyMap<string, string>, admission: Admission, minor: 0 | 2): Promise<void> {
    const { session } = admission;
    const passage = new Passage(session, postgresProtocol, this.#parts.log);
    const detach = session.attach(unjoined(socket));
    const gone = () => session.finish('client_left');
    socket.once('close', gone);
    const began = postgresRole(session.role);
    const catalog = this.#catalogs.hold(began.upstream);
    let joined = false;
    try {
      // It left while it was being admitted: no event will say so again.
      if (isGone(socket)) return gone();
      const startup = startupParameters(asked, began);
      if (!startup.ok) return this.#refuseStart(socket, admission, startup.decision);
      await new Promise<void>((resolve, reject) => {
        passage.release(resolve);
        socket.once('close', () => reject(new DaypassError('client_left', 'the client left')));
      });
      const [upstream] = await Promise.all([
        this.#dial(admission, startup.parameters),
        began.any ? undefined : catalog.ready(),
      ]);
      if (!session.isLive()) return upstream.sever(false);
      joined = true;
      this.#start(socket, upstream, passage, began, catalog, minor);
    } catch (thrown) {
      if (session.end !== null) return;
      this.#parts.log.error(
        {
          session: session.id,
          grant: session.grant.id,
          principal: session.grant.principal,
          service: admission.policy.name,
          reason: 'upstream_unavailable',
          rule: 'login at the upstream',
          err: messageOf(thrown),
          cause: causeOf(thrown),
        },
        'no upstream connection',
      );
      session.recording.append('notice', { about: 'upstream', reason: 'upstream_unavailable' });
      refuseConnection(socket, {
        severity: 'FATAL',
        sqlstate: DENIALS.upstream_unavailable.sqlstate,
        message: `Daypass: ${admission.policy.name} cannot be reached right now`,
        hint: 'connect again in a moment, or tell the owner of the service',
      });
      session.finish('upstream_closed');
    } finally {
      if (!joined) catalog.release();
      socket.off('close', gone);
      detach();
    }
  }

  async #dial(admission: Admission, parameters: ReadonlyMap<string, string>): Promise<Upstream> {
    const { clock } = this.#parts;
    const { meter } = admission.session;
    const from = clock.monotonic();
    try {
      const upstream = await dial(admission, parameters, this.#handshakeLimit);
      meter.dialled(clock.monotonic() - from);
      return upstream;
    } catch (thrown) {
      meter.dialFailed();
      throw thrown;
    }
  }

  #refuseStart(socket: Duplex, { session }: Admission, decision: Decision): void {
    const { outcome, reason, rule } = decision;
    session.meter.decided(outcome, reason);
    session.recording.append(
      'action',
      { verb: 'connect', outcome: 'deny', rule, reason: reason ?? '' },
      { text: decision.message },
    );
    this.#parts.log.warn({ session: session.id, reason, rule, err: decision.message }, 'refused');
    refuseConnection(socket, reportOf(decision));
    session.finish('protocol_error');
  }

  #start(
    socket: Duplex,
    upstream: Upstream,
    passage: Passage<PostgresAction>,
    began: PostgresRole,
    catalog: HeldCatalog,
    minor: 0 | 2,
  ): void {
    const { session } = passage;
    let key: CancelKey | null = null;
    let detach = () => {};
    const relay = new Relay(socket, upstream, passage, began, catalog, this.#parts.clock, this.#parts.log, () => {
      catalog.release();
      if (key !== null) this.#keys.withdraw(key);
      detach();
    });
    key = this.#keys.issue(() => relay.cancel(), upstream.pid, minor === 2 ? LONG_KEY : SHORT_KEY);
    detach = session.attach(relay);
    relay.checkStart();
    if (session.end !== null) return;
    const hello = [authenticationOk()];
    for (const [name, value] of upstream.parameters) hello.push(parameterStatus(name, asShown(session, name, value)));
    hello.push(backendKeyData(key.pid, key.secret), readyForQuery(upstream.status));
    session.deliver(socket, Buffer.concat(hello));
    relay.start();
  }
}

type Asked = Pick<AdmitRequest, 'service' | 'credential' | 'principal' | 'via'>;

/** A client that comes to the port names its service, and shows a handle. */
function askedAtPort(parameters: ReadonlyMap<string, string>, login: Login, binding: Buffer | null): Asked {
  const user = parameters.get('user') ?? '';
  const service = parameters.get('database') || user;
  return { service, credential: credentialOf(login, binding), principal: principalOf(user) };
}

function credentialOf(login: Login, binding: Buffer | null): Credential {
  if (login.kind === 'known') return null;
  return login.kind === 'password' ? login.password : login.proof(binding);
}

/**
 * In a tunnel the person and the service are settled. A client that asks for another database has taken one port for
 * another: what it would run is meant for elsewhere.
 * @throws StartupRefused
 */
function askedInTunnel(parameters: ReadonlyMap<string, string>, { service, proof, principal }: Carried): Asked {
  const database = parameters.get('database') || service;
  if (database === service) return { service, credential: proof, principal, via: 'tunnel' };
  const leads = `this connection leads to ${service}, and to no other database`;
  throw refused('3D000', leads, `connect with dbname=${service}`, 'the database of the tunnel');
}

/** A connection that is in but has no upstream yet. */
function unjoined(client: Duplex): Connection {
  return {
    client,
    severUpstream: () => {},
    farewell: ({ message, hint }) => refuseConnection(client, { severity: 'FATAL', sqlstate: '57P01', message, hint }),
    warn: () => {},
    policyChanged: () => {},
  };
}

function reportOf(decision: Decision): Report {
  const { sqlstate } = DENIALS[decision.reason ?? 'out_of_scope'];
  return {
    severity: 'FATAL',
    sqlstate,
    message: `Daypass: ${decision.message}`,
    detail: `Reason: ${decision.reason}`,
    hint: decision.hint,
  };
}

/** `alice+<grant id>` names alice: the user name splits at its last `+` (DETAILS.md, Grants). */
function principalOf(user: string): string {
  const plus = user.lastIndexOf('+');
  return plus === -1 ? user : user.slice(0, plus);
}

function isGone(socket: Duplex): boolean {
  return socket.destroyed || socket.readableEnded || socket.writableEnded;
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(127\.|::1$|::ffff:127\.)/.test(address);
}

function causeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && thrown.cause !== undefined ? messageOf(thrown.cause) : undefined;
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
