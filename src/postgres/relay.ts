import type { Socket } from 'node:net';
import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import type { Passage } from '../gate/passage.js';
import type { Log } from '../log.js';
import type { Connection, Cut } from '../session/connection.js';
import { ClientSide } from './client-side.js';
import { Conversation } from './conversation.js';
import type { PostgresAction } from './decide.js';
import { Outbox } from './outbox.js';
import type { PostgresRole } from './policy.js';
import { ServerSide } from './server-side.js';
import type { Upstream } from './upstream.js';
import { errorResponse, noticeResponse, type Report } from './wire/backend.js';
import { BackendFramer, FramingError, FrontendFramer } from './wire/framer.js';

/**
 * One client and one upstream connection, joined: bytes in both directions, back-pressure both ways, and the cut.
 * What a statement means is the business of `ClientSide`, what an answer means that of `ServerSide`.
 */
export class Relay implements Connection {
  readonly client: Socket;
  readonly #upstream: Upstream;
  readonly #passage: Passage<PostgresAction>;
  readonly #log: Log;
  readonly #fromClient = new FrontendFramer();
  readonly #fromServer = new BackendFramer();
  readonly #clientSide: ClientSide;
  readonly #serverSide: ServerSide;
  readonly #finished: () => void;
  /** The client is read no further while its frames wait to be recorded, or the upstream takes no more. */
  #waiting = false;
  #congested = false;
  #over = false;

  /** @param finished - called once when the connection is over, for whatever cause */
  constructor(
    client: Socket,
    upstream: Upstream,
    passage: Passage<PostgresAction>,
    clock: Clock,
    log: Log,
    finished: () => void,
  ) {
    this.client = client;
    this.#upstream = upstream;
    this.#passage = passage;
    this.#log = log;
    this.#finished = finished;
    const talk = new Conversation(passage, clock);
    const outbox = new Outbox(passage, {
      send: (bytes) => this.#send(bytes),
      pause: () => this.#pauseClient(true),
      resume: () => this.#pauseClient(false),
    });
    this.#clientSide = new ClientSide(talk, outbox, () => this.#leave());
    this.#serverSide = new ServerSide(
      talk,
      (name, value) => this.#checkSetting(name, value),
      () => outbox.isEmpty,
    );
  }

  /** Begins to relay. Both sockets must be paused and authenticated. */
  start(): void {
    const { client } = this;
    const upstream = this.#upstream.socket;
    client.on('data', (chunk: Buffer) => this.#onClient(chunk));
    client.on('drain', () => upstream.resume());
    client.on('error', () => client.destroy());
    client.on('close', () => this.#leave());
    upstream.on('data', (chunk: Buffer) => this.#onServer(chunk));
    upstream.on('drain', () => {
      this.#congested = false;
      this.#flow();
    });
    upstream.on('error', () => upstream.destroy());
    upstream.on('close', () => this.#upstreamGone());
    client.resume();
    upstream.resume();
  }

  severUpstream(): void {
    this.#over = true;
    this.#upstream.sever();
  }

  farewell({ message, hint }: Cut): void {
    this.#over = true;
    this.#tell({ severity: 'FATAL', sqlstate: '57P01', message, hint });
    this.#finished();
  }

  warn(message: string): void {
    if (this.#over || this.#fromServer.midMessage) return;
    this.client.write(noticeResponse({ severity: 'WARNING', sqlstate: '01000', message }));
  }

  policyChanged(): void {
    // Each statement, and each Execute of an old one, is decided by the policy in force when it comes.
  }

  /** Passes the client's own cancel request on. */
  cancel(): void {
    if (!this.#over && this.#passage.session.isLive()) this.#upstream.cancel();
  }

  #onClient(chunk: Buffer): void {
    if (this.#over || !this.#passage.session.isLive()) return;
    try {
      this.#fromClient.push(chunk, this.#clientSide);
    } catch (thrown) {
      if (!(thrown instanceof FramingError))
        this.#log.error({ err: thrown, session: this.#passage.session.id }, 'the relay failed');
      const sqlstate = thrown instanceof FramingError ? (thrown.tooLarge ? '54000' : '08P01') : 'XX000';
      this.#break({
        severity: 'FATAL',
        sqlstate,
        message: `Daypass: ${thrown instanceof FramingError ? thrown.message : 'internal error'}`,
      });
    }
  }

  #onServer(chunk: Buffer): void {
    if (this.#over) return;
    const { session } = this.#passage;
    try {
      for (const piece of this.#fromServer.push(chunk, this.#serverSide)) {
        if (this.#over) return;
        if (!session.deliver(this.client, piece)) this.#upstream.socket.pause();
      }
      if (!this.client.writableNeedDrain) this.#upstream.socket.resume();
    } catch (thrown) {
      this.#log.warn({ err: messageOf(thrown), session: session.id }, 'the upstream broke the protocol');
      this.#break({ severity: 'FATAL', sqlstate: '08P01', message: 'Daypass: the database broke the protocol' });
    }
  }

  #send(bytes: Buffer): void {
    if (this.#over || this.#upstream.socket.destroyed) return;
    if (this.#upstream.socket.write(bytes)) return;
    this.#congested = true;
    this.#flow();
  }

  #pauseClient(waiting: boolean): void {
    this.#waiting = waiting;
    this.#flow();
  }

  #flow(): void {
    if (this.#waiting || this.#congested) this.client.pause();
    else if (this.client.isPaused()) this.client.resume();
  }

  /** A state that the role pins has changed: whatever did it got past the first three walls (PROTOCOLS.md, wall 4). */
  #checkSetting(name: string, value: string): void {
    const role = this.#passage.session.role as PostgresRole;
    const pinned = PINNED[name];
    const broken =
      name === 'default_transaction_read_only'
        ? role.readOnly && value !== 'on'
        : pinned !== undefined && value !== pinned;
    if (role.any || !broken) return;
    this.#passage.session.recording.append('notice', { about: 'tripwire', setting: name });
    this.#passage.session.cut('tripwire');
  }

  #upstreamGone(): void {
    if (this.#over) return;
    this.#break({
      severity: 'FATAL',
      sqlstate: '08006',
      message: 'Daypass: the database closed the connection',
      hint: 'connect again',
    });
  }

  /** Ends this connection for a fault of one side; the session ends with it. */
  #break(report: Report): void {
    if (this.#over) return;
    this.#over = true;
    this.#upstream.sever();
    this.#tell(report);
    this.client.end(() => this.client.destroy());
    this.#passage.session.finish(report.sqlstate === '08006' ? 'upstream_closed' : 'protocol_error');
    this.#finished();
  }

  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    this.#upstream.socket.end();
    this.client.end();
    this.#passage.session.finish('client_left');
    this.#finished();
  }

  #tell(report: Report): void {
    if (!this.client.destroyed && !this.#fromServer.midMessage) this.client.write(errorResponse(report));
  }
}

/** What the start-up packet pins for every restricted role. */
const PINNED: Readonly<Record<string, string>> = { client_encoding: 'UTF8', standard_conforming_strings: 'on' };
