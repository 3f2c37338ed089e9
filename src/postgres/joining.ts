import type { Duplex } from 'node:stream';
import type { Clock } from '../clock.js';
import { DaypassError, messageOf } from '../errors.js';
import type { Admission } from '../gate/admission.js';
import { Passage } from '../gate/passage.js';
import type { Log } from '../log.js';
import type { Decision } from '../policy/decision.js';
import { DENIALS } from '../policy/reason.js';
import type { Connection } from '../session/connection.js';
import type { CancelKey, CancelKeys } from './cancel.js';
import type { Catalogs, HeldCatalog } from './catalog/keeper.js';
import type { SessionsMemory } from './memory.js';
import { startupParameters } from './parameters.js';
import { asShown } from './pinned.js';
import { postgresProtocol } from './protocol.js';
import { Relay, type RelayParts } from './relay.js';
import { postgresRole } from './role.js';
import { refuseConnection } from './startup.js';
import { dial, type Upstream } from './upstream.js';
import { authenticationOk, backendKeyData, parameterStatus, type Report, readyForQuery } from './wire/backend.js';

/** What a client is joined to its database with. */
export interface JoiningParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly keys: CancelKeys;
  readonly catalogs: Catalogs;
  /** How long the handshake with an upstream may take, milliseconds. */
  readonly dialLimit: number;
  readonly memory: SessionsMemory;
}

/** A client with its connection to the database, and the catalog that is held for it. */
type Joined = Pick<RelayParts, 'client' | 'upstream' | 'passage' | 'began'> & { readonly catalog: HeldCatalog };

/** Secret bytes of a cancel key under protocol 3.0, and under 3.2. */
const SHORT_KEY = 4;
const LONG_KEY = 32;

/** Joins clients that were admitted to connections of their own to the database. */
export class Joining {
  readonly #parts: JoiningParts;

  constructor(parts: JoiningParts) {
    this.#parts = parts;
  }

  /**
   * The session exists from here on: whatever fails ends it, and the client is told.
   * @param asked - the client's start-up parameters
   * @param minor - the minor version of protocol 3 that it speaks
   */
  async join(socket: Duplex, asked: ReadonlyMap<string, string>, admission: Admission, minor: 0 | 2): Promise<void> {
    const { session } = admission;
    const passage = new Passage(session, postgresProtocol, this.#parts.log);
    const detach = session.attach(unjoined(socket));
    const gone = () => session.finish('client_left');
    socket.once('close', gone);
    const began = postgresRole(session.role);
    const catalog = this.#parts.catalogs.hold(() => postgresRole(session.role).upstream);
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
      this.#start({ client: socket, upstream, passage, began, catalog }, minor);
    } catch (thrown) {
      if (session.end !== null) return;
      this.#notReached(socket, admission, thrown);
    } finally {
      if (!joined) catalog.release();
      socket.off('close', gone);
      detach();
    }
  }

  async #dial(admission: Admission, parameters: ReadonlyMap<string, string>): Promise<Upstream> {
    const { clock } = this.#parts;
    const { session } = admission;
    const { meter } = session;
    const from = clock.monotonic();
    try {
      const upstream = await dial(admission, parameters, this.#parts.dialLimit);
      meter.dialled(clock.monotonic() - from);
      return upstream;
    } catch (thrown) {
      if (session.end === null) meter.dialFailed();
      throw thrown;
    }
  }

  #notReached(socket: Duplex, { session, policy }: Admission, thrown: unknown): void {
    this.#parts.log.error(
      {
        session: session.id,
        grant: session.grant.id,
        principal: session.grant.principal,
        service: policy.name,
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
      message: `Daypass: ${policy.name} cannot be reached right now`,
      hint: 'connect again in a moment, or tell the owner of the service',
    });
    session.finish('upstream_closed');
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

  #start(joined: Joined, minor: 0 | 2): void {
    const { clock, log, keys, memory } = this.#parts;
    const { client, upstream, passage, catalog } = joined;
    const { session } = passage;
    let key: CancelKey | null = null;
    let detach = () => {};
    const finished = () => {
      catalog.release();
      if (key !== null) keys.withdraw(key);
      detach();
    };
    const relay = new Relay({ ...joined, clock, log, memory, finished });
    key = keys.issue(() => relay.cancel(), upstream.pid, minor === 2 ? LONG_KEY : SHORT_KEY);
    detach = session.attach(relay);
    relay.checkStart();
    if (session.end !== null) return;
    const hello = [authenticationOk()];
    for (const [name, value] of upstream.parameters) hello.push(parameterStatus(name, asShown(session, name, value)));
    hello.push(backendKeyData(key.pid, key.secret), readyForQuery(upstream.status));
    session.toClients.deliver(client, Buffer.concat(hello));
    relay.start();
  }
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

/** A refusal as the client is told it. */
export function reportOf(decision: Decision): Report {
  const { sqlstate } = DENIALS[decision.reason ?? 'out_of_scope'];
  return {
    severity: 'FATAL',
    sqlstate,
    message: `Daypass: ${decision.message}`,
    detail: `Reason: ${decision.reason}`,
    hint: decision.hint,
  };
}

function isGone(socket: Duplex): boolean {
  return socket.destroyed || socket.readableEnded || socket.writableEnded;
}

function causeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && thrown.cause !== undefined ? messageOf(thrown.cause) : undefined;
}
