import type { Clock } from '../clock.js';
import type { Passage } from '../gate/passage.js';
import type { Json } from '../recording/event.js';
import type { CatalogSource } from './catalog/keeper.js';
import type { PostgresAction } from './decide.js';
import { type Expectation, Expectations } from './expectations.js';
import type { Overrun } from './limits.js';
import { Names, type Portal, type Prepared } from './names.js';
import { type PostgresRole, postgresRole } from './role.js';
import { type Share, Taken } from './taken.js';

/** What the two directions of one connection both need to know. */
export class Conversation {
  readonly passage: Passage<PostgresAction>;
  readonly clock: Clock;
  /** What the upstream's database holds. */
  readonly catalog: CatalogSource;
  readonly expectations = new Expectations();
  readonly statements = new Names<Prepared>();
  readonly portals = new Names<Portal>();
  readonly taken = new Taken();
  /** The server waits for COPY data: only CopyData, CopyDone, CopyFail, Flush and Sync are legal. */
  copyIn = false;
  /** The result under way is that of a COPY from the client. */
  copying = false;
  /** Bytes of COPY data from the client for the COPY under way, and their first part for the record. */
  copyBytes = 0;
  copySample: Buffer[] = [];
  /** Rows and bytes of the result under way, and since when it runs (monotonic milliseconds). */
  rows = 0;
  bytesOut = 0;
  /** CopyData messages to the client: in text and binary one a row. */
  copiedOut = 0;
  since = 0;
  /** What was taken before of the portal whose rows are under way; null until it is asked for. */
  before: Share | null = null;
  /** The result under way went over a limit of the role: nothing more of it reaches the client. */
  overrun: Overrun | null = null;
  /** An error took the place of a completed statement: the client hears nothing more until the server is ready again. */
  muted = false;
  /** The first rows of the result under way, and the names of its columns, for the record; and their size, bytes. */
  sampled: (readonly Json[])[] = [];
  sampledColumns: readonly string[] | null = null;
  sampledBytes = 0;
  /** The server ended the session in words of its own (FATAL), and the client has heard them. */
  dismissed = false;
  /** A definition was run that may have changed the catalog once its transaction has ended. */
  redefined = false;

  /** How many of the messages that wait for an answer are still held back. */
  #unsent = 0;

  constructor(passage: Passage<PostgresAction>, catalog: CatalogSource, clock: Clock) {
    this.passage = passage;
    this.catalog = catalog;
    this.clock = clock;
  }

  /** The role by the policy in force at this moment. */
  get role(): PostgresRole {
    return postgresRole(this.passage.session.role);
  }

  /** The client sent a message that the server is going to answer. @returns false when the server will skip it */
  expect(expectation: Expectation): boolean {
    if (!this.expectations.add(expectation)) return false;
    this.#unsent += 1;
    if (this.since === 0) this.since = this.clock.monotonic();
    return true;
  }

  /** What was held leaves. If the server was at nothing, it begins now: how long the client took to think is not its time. */
  leaves(): void {
    if (this.#unsent > 0 && this.expectations.size <= this.#unsent) this.since = this.clock.monotonic();
    this.#unsent = 0;
  }

  /** The message that is first in line was answered. */
  answered(): Expectation | undefined {
    const answered = this.expectations.pop();
    if (this.expectations.head === undefined) this.since = 0;
    return answered;
  }

  /** Whether the server may be taking COPY data, or come to: what is sent besides it ignores. */
  get takesCopyData(): boolean {
    return this.copyIn || this.expectations.awaitsResult;
  }

  /** COPY data that was counted belongs to no COPY any more. */
  forgetCopy(): void {
    this.copying = false;
    this.copyBytes = 0;
    this.copySample = [];
  }
}
