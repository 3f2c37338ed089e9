import type { Duplex } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import type { Passage } from '../gate/passage.js';
import type { Log } from '../log.js';
import { type Connection, type Cut, endSurely } from '../session/connection.js';
import { Cancelling, MAY_BE_UNREAD, tellUntilHeard } from './cancelling.js';
import type { CatalogSource } from './catalog/keeper.js';
import { ClientSide } from './client-side.js';
import { Conversation } from './conversation.js';
import type { PostgresAction } from './decide.js';
import { Delivery } from './delivery.js';
import { Gathered } from './gathered.js';
import { Intake } from './intake.js';
import type { SessionMemory, SessionsMemory } from './memory.js';
import { Outbox } from './outbox.js';
import { Overtime } from './overtime.js';
import { isAsPinned } from './pinned.js';
import { faultReport } from './reports.js';
import { type PostgresRole, postgresRole } from './role.js';
import { LONGEST_ROW } from './sampled.js';
import { LedAstray, ServerSide } from './server-side.js';
import type { Upstream } from './upstream.js';
import { noticeResponse, type Report } from './wire/backend.js';
import { BackendFramer } from './wire/backend-framer.js';
import { FramingError, NoRoom } from './wire/framing.js';

/** What a relay is made of. */
export interface RelayParts {
  readonly client: Duplex;
  readonly upstream: Upstream;
  readonly passage: Passage<PostgresAction>;
  /** The role that the upstream session was begun with. */
  readonly began: PostgresRole;
  readonly catalog: CatalogSource;
  readonly clock: Clock;
  readonly log: Log;
  readonly memory: SessionsMemory;
  /** Called once when the connection is over, for whatever cause. */
  readonly finished: () => void;
}

/**
 * One client and one upstream connection, joined: bytes in both directions, back-pressure both ways, and the cut.
 * What a statement means is the business of `ClientSide`, what an answer means that of `ServerSide`.
 */
export class Relay implements Connection {
  readonly client: Duplex;
  readonly dropsInput = true;
  readonly #upstream: Upstream;
  readonly #passage: Passage<PostgresAction>;
  readonly #log: Log;
  readonly #fromClient: Intake;
  readonly #fromServer = new BackendFramer();
  readonly #toServer: Gathered;
  readonly #clientSide: ClientSide;
  readonly #serverSide: ServerSide;
  readonly #talk: Conversation;
  readonly #outbox: Outbox;
  readonly #delivery: Delivery;
  readonly #overtime: Overtime;
  readonly #cancelling = new Cancelling(() => this.#passCancel());
  readonly #memory: SessionMemory;
  readonly #finished: () => void;
  /** The role that what names mean to the server comes from: as it was when the session began, or could last do anything. */
  #settled: PostgresRole;
  #over = false;

  constructor({ client, upstream, passage, began, catalog, clock, log, memory, finished }: RelayParts) {
    this.client = client;
    const person = passage.session.grant.principal;
    this.#fromClient = new Intake(client, person);
    this.#upstream = upstream;
    this.#toServer = new Gathered(upstream.socket);
    this.#passage = passage;
    this.#log = log;
    this.#finished = finished;
    this.#delivery = new Delivery(client, upstream.socket, passage.session, this.#fromServer);
    this.#settled = began;
    this.#memory = memory.of(person, () => this.#refuse(new NoRoom()));
    const talk = new Conversation(passage, catalog, clock, this.#memory.names);
    this.#talk = talk;
    this.#overtime = new Overtime(talk, () => upstream.cancel());
    const outbox = new Outbox(passage, {
      send: (bytes) => this.#send(bytes),
      pause: () => this.#fromClient.wait('record'),
      resume: () => this.#fromClient.goOn('record'),
    });
    this.#outbox = outbox;
    this.#clientSide = new ClientSide(talk, outbox, () => this.#leave());
    this.#serverSide = new ServerSide(
      talk,
      (name, value) => this.#checkSetting(name, value),
      () => outbox.isEmpty,
      () => void this.#stopStatement(),
    );
  }

  /** Begins to relay. Both sockets must be paused and authenticated. */
  start(): void {
    if (this.client.destroyed) return this.#leave();
    const { client } = this;
    const upstream = this.#upstream.socket;
    client.on('data', (chunk: Buffer) => this.#onClient(chunk));
    client.on('drain', () => this.#delivery.drained());
    client.on('error', () => client.destroy());
    client.on('close', () => this.#leave());
    upstream.on('data', (chunk: Buffer) => this.#onServer(chunk));
    upstream.on('drain', () => {
      this.#mayHold();
      this.#fromClient.goOn('server');
    });
    upstream.on('error', () => upstream.destroy());
    upstream.on('close', () => this.#upstreamGone());
    this.policyChanged();
    client.resume();
    upstream.resume();
  }

  severUpstream(): void {
    this.#stop();
    this.#upstream.sever(this.#running);
    this.#serverSide.interrupt();
  }

  farewell({ message, hint }: Cut): void {
    this.#stop();
    this.#delivery.conclude({ severity: 'FATAL', sqlstate: '57P01', message, hint });
    this.#finished();
  }

  warn(message: string): void {
    this.#delivery.insert(noticeResponse({ severity: 'WARNING', sqlstate: '01000', message }));
  }

  policyChanged(): void {
    // Each statement, and each Execute of an old one, is decided by the policy in force when it comes.
    const role = postgresRole(this.#passage.session.role);
    if (role.any) this.#settled = role;
    else if (
      this.#settled.any ||
      (role.readOnly && !this.#settled.readOnly) ||
      !isDeepStrictEqual(this.#settled.searchPath, role.searchPath)
    ) {
      // What names mean to the server, and whether it lets the session write, is settled: it would be judged as another.
      this.#passage.session.cut('policy_gone');
      return;
    }
    if (this.#endsUnderWay()) return;
    this.#fromServer.rowLimit = role.recording.results > 0 ? LONGEST_ROW : 0;
    this.#overtime.limit(role.statementTimeout);
  }

  /**
   * Ends the session when something of it that is under way is not allowed any more: cancelled, with its transaction
   * undone. A refusal could not take its place: part of its answer, or of the data of a COPY, may have passed.
   */
  #endsUnderWay(): boolean {
    const { session } = this.#passage;
    const refusal = this.#clientSide.judgeAgain();
    if (refusal === null) return false;
    const { reason, rule } = refusal;
    session.recording.append('notice', { about: 'policy', reason: reason ?? '', rule });
    this.#log.warn({ session: session.id, reason, rule }, 'what was under way is not allowed any more');
    session.cut('policy_gone');
    return true;
  }

  /**
   * Cancels the statement under way: its result is over a limit, or the server may not have heard its client's request. What the server
   * answers waits until it has been told: a cancel that comes late must not hit the statement behind.
   */
  async #stopStatement(): Promise<boolean> {
    const goOn = this.#delivery.hold();
    const answers = await this.#upstream.cancel();
    goOn();
    return answers;
  }

  /** Holds what the server reported at its start against what the role pins; cuts the session when it differs. */
  checkStart(): void {
    for (const [name, value] of this.#upstream.parameters) this.#checkSetting(name, value);
  }

  /** Passes the client's own cancel request on. Resolves when the server has been told, or could not be; never behind the session's end. */
  async cancel(): Promise<void> {
    if (this.#passage.session.isLive()) await this.#cancelling.ask();
  }

  /** Behind the statement it is about, which may still wait for its record. */
  #passCancel(): Promise<void> {
    const talk = this.#talk;
    const mayBeUnread = () => talk.since !== 0 && talk.clock.monotonic() - talk.since < MAY_BE_UNREAD;
    const turn = () => (this.#over || !mayBeUnread() ? null : talk.turns);
    return new Promise((resolve) => {
      this.#passage.release(() => {
        if (this.#over) return;
        const told = tellUntilHeard(
          turn,
          () => this.#upstream.cancel(),
          () => this.#stopStatement(),
        );
        void told.then(resolve);
      });
    });
  }

  #onClient(chunk: Buffer): void {
    if (this.#over || !this.#passage.session.isLive()) return;
    try {
      this.#fromClient.read(chunk, this.#clientSide);
      this.#waitForAnswers();
      if (!this.#over && !this.#mayHold()) throw new NoRoom();
    } catch (thrown) {
      this.#refuse(thrown);
    }
  }

  /** What it sent leaves all the same: a server may hold an answer back until more has come. */
  #waitForAnswers(): void {
    if (this.#over || !this.#talk.expectations.areMany) return;
    this.#fromClient.wait('answers');
    this.#outbox.release();
  }

  /** Ends this connection for what its client sent. */
  #refuse(thrown: unknown): void {
    const of = { session: this.#passage.session.id };
    if (thrown instanceof FramingError) {
      const reason = thrown.tooLarge ? 'too_large' : 'malformed';
      const rule = thrown instanceof NoRoom ? 'memory of sessions' : 'well-formed messages';
      this.#log.warn({ ...of, reason, rule, err: thrown.message }, 'refused');
    } else this.#log.error({ ...of, err: thrown }, 'the relay failed');
    this.#break(faultReport(thrown));
  }

  /** @returns whether there is memory for what waits, and for what is not answered */
  #mayHold(): boolean {
    const { bytes, most } = this.#fromClient.held;
    const waiting = bytes + this.#outbox.bytes + this.#upstream.socket.writableLength;
    return this.#memory.holds(waiting, most) && this.#memory.awaits(this.#talk.expectations.weight);
  }

  #onServer(chunk: Buffer): void {
    if (this.#over) return;
    const { session } = this.#passage;
    try {
      const { midMessage } = this.#fromServer;
      this.#delivery.give(this.#fromServer.push(chunk, this.#serverSide), midMessage);
      this.#memory.awaits(this.#talk.expectations.weight);
      if (!this.#talk.expectations.areMany) this.#fromClient.goOn('answers');
    } catch (thrown) {
      const overLimit = thrown instanceof FramingError && thrown.tooLarge;
      const astray = thrown instanceof LedAstray;
      const what = overLimit
        ? 'a limit of the role ended the session'
        : `the ${astray ? 'client' : 'upstream'} broke the protocol`;
      this.#log.warn({ err: messageOf(thrown), session: session.id }, what);
      if (!overLimit && !astray) this.#passage.session.meter.upstreamFailed('protocol');
      const message = overLimit || astray ? thrown.message : 'the database broke the protocol';
      this.#break({ severity: 'FATAL', sqlstate: overLimit ? '54000' : '08P01', message: `Daypass: ${message}` });
    }
  }

  #send(bytes: Buffer): void {
    if (this.#over || this.#upstream.socket.destroyed) return;
    if (!this.#toServer.write(bytes)) this.#fromClient.wait('server');
  }

  /**
   * Holds a reported setting against what the role pins: whatever changed it got past the first three walls, or the
   * start-up packet was not heeded (PROTOCOLS.md, wall 4).
   */
  #checkSetting(name: string, value: string): void {
    const { session } = this.#passage;
    if (session.end !== null || isAsPinned(postgresRole(session.role), this.#upstream.parameters, name, value)) return;
    session.recording.append('notice', { about: 'tripwire', setting: name });
    this.#log.warn({ session: session.id, setting: name }, 'the upstream session left the state the policy requires');
    session.cut('tripwire');
  }

  #upstreamGone(): void {
    if (this.#over) return;
    this.#passage.session.meter.upstreamFailed('broken');
    this.#break({
      severity: 'FATAL',
      sqlstate: '08006',
      message: 'Daypass: the database closed the connection',
      hint: 'connect again',
    });
  }

  /** A statement of the client's runs at the server, or is on its way there. */
  get #running(): boolean {
    return this.#talk.expectations.head !== undefined || !this.#outbox.isEmpty;
  }

  /** Ends this connection for a fault of one side; the session ends with it. */
  #break(report: Report): void {
    if (this.#over) return;
    this.severUpstream();
    if (!this.#talk.dismissed) this.#delivery.conclude(report);
    endSurely(this.client, this.dropsInput);
    this.#passage.session.finish(report.sqlstate === '08006' ? 'upstream_closed' : 'protocol_error');
    this.#finished();
  }

  /** Nothing is passed on any more. */
  #stop(): void {
    this.#over = true;
    this.#cancelling.stop();
    this.#fromClient.stop();
    this.#memory.end();
    this.#delivery.stop();
    this.#overtime.stop();
  }

  /** What a client leaves running would run on past its grant, unseen: it ends with the session. */
  #leave(): void {
    if (this.#over) return;
    this.#stop();
    if (this.#running) this.#upstream.sever(true);
    else endSurely(this.#upstream.socket);
    this.#serverSide.interrupt();
    endSurely(this.client);
    this.#passage.session.finish('client_left');
    this.#finished();
  }
}
