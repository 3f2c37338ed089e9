import type { Clock } from '../clock.js';
import type { Passage } from '../gate/passage.js';
import type { CatalogSource } from './catalog/keeper.js';
import { CopyData } from './copy-data.js';
import type { PostgresAction } from './decide.js';
import { type Expectation, Expectations, hasResult } from './expectations.js';
import { Kept, type Room } from './kept.js';
import { Names, type Portal, type Prepared } from './names.js';
import { type PostgresRole, postgresRole } from './role.js';
import { Taken } from './taken.js';

/** What the two directions of one connection both need to know. */
export class Conversation {
  readonly passage: Passage<PostgresAction>;
  readonly clock: Clock;
  /** What the upstream's database holds. */
  readonly catalog: CatalogSource;
  readonly expectations = new Expectations();
  readonly statements: Names<Prepared>;
  readonly portals: Names<Portal>;
  readonly taken = new Taken();
  /** The server waits for COPY data: only CopyData, CopyDone, CopyFail, Flush and Sync are legal. */
  copyIn = false;
  /** What the client sent of a COPY's data, since it ended one or asked for something that may be one. */
  copy = new CopyData();
  /** Since when the result under way runs, monotonic milliseconds; 0 when none does. */
  since = 0;
  /** How often the server was ready for more. */
  turns = 0;
  /** The server ended the session in words of its own (FATAL), and the client has heard them. */
  dismissed = false;

  /** How many of the messages that wait for an answer are still held back. */
  #unsent = 0;

  /** @param room - for what its names stand for */
  constructor(passage: Passage<PostgresAction>, catalog: CatalogSource, clock: Clock, room: Room) {
    const kept = new Kept(room);
    this.statements = new Names(kept.statements);
    this.portals = new Names(kept.portals);
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
    if (hasResult(expectation) && this.copy.bytes > 0) this.copy = new CopyData();
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

  /** The client sent a part of a COPY's data: when the server takes none, nor may come to, it ignores it. */
  copies(piece: Buffer): void {
    if (this.#takesCopyData) this.copy.add(piece);
  }

  /** The client ended a COPY's data, which the server may not have asked for yet. */
  endsCopy(): void {
    if (this.copyIn) this.copyIn = false;
    else if (this.#takesCopyData) this.expect({ kind: 'copyEnd', copy: this.copy });
    this.copy = new CopyData();
  }

  get #takesCopyData(): boolean {
    return this.copyIn || this.expectations.awaitsResult;
  }
}
