import { Queue } from '../queue.js';
import { Backlog, type Part } from './backlog.js';
import { genesis } from './chain.js';
import type { EventKind, Facts, FreshEvent, Json, Later, Payload, RecordedEvent } from './event.js';
import type { Hearing } from './hearing.js';
import { closingFacts } from './row-facts.js';
import type { Stretch } from './stretch.js';

/** A session as its row says it. Times are milliseconds since the epoch. */
export interface SessionRow {
  readonly id: string;
  readonly grantId: string;
  readonly service: string;
  readonly protocol: string;
  readonly principal: string;
  readonly role: string;
  /** The client's address as the listener saw it. */
  readonly client: string;
  readonly mode: 'strict' | 'buffered';
  readonly policyVersion: string;
  readonly startedAt: number;
}

/** How a session ended. */
export interface Receipt {
  readonly endedAt: number;
  readonly reason: string;
  /** When the cut was due and when it was made; null when the gateway did not cut. */
  readonly dueAt: number | null;
  readonly cutAt: number | null;
  /** Upstream-origin bytes that were given to a client's socket after `dueAt`. */
  readonly bytesAfterDue: number;
}

/** What the recorder offers a session's log. */
export interface Sink {
  /** There is something to write for this log. */
  dirty(log: SessionLog, urgent: boolean): void;
  /** Whether the bounded buffer takes more of this person's sessions. */
  hasRoom(person: string): boolean;
  /** Counts queued bytes of a person's sessions in or out. */
  queued(person: string, bytes: number): void;
  /** Begins to hear what is encoded for a session's next block. */
  listen(sessionId: string): Hearing;
  monotonic(): number;
  wall(): number;
}

/** What the recorder took to be written, and the chain's value before it. */
export interface TakenPart extends Part {
  readonly before: Buffer;
}

interface Waiter {
  readonly seq: number;
  readonly since: number;
  readonly go: () => void;
}

/** Of fewer events it is not worth while to begin a block before it is written. */
const MANY = 8;

/**
 * The recording of one session as it grows: events are appended in order, flushed by the recorder, and whoever must not act
 * before they are safe waits here.
 */
export class SessionLog {
  readonly row: SessionRow;
  /** Called once when recording cannot keep up: the session is to be cut. */
  onStall: () => void = () => {};
  receipt: Receipt | null = null;
  /** The row as written last: a new row or a new end makes it dirty. */
  rowWritten = false;
  hash: Buffer;
  committedSeq = 0;
  /** How much was ever appended, roughly, bytes: whoever proposes much has to wait for it. */
  appendedBytes = 0;
  readonly #sink: Sink;
  readonly #listen = () => this.#sink.listen(this.row.id);
  /** What the recorder has not taken yet. */
  readonly #backlog: Backlog;
  /** The chain's value before that; null while what was taken is not encoded to its end. */
  #chain: Buffer | null;
  #lastSeq = 0;
  /** How the record begins, until that is committed: what is lost behind it takes nothing of it along. */
  #beginning: FreshEvent | null = null;
  readonly #waiters = new Queue<Waiter>();
  #failed = false;
  /** Not even the gap could be written: what is appended from here on is dropped. */
  #givenUp = false;

  constructor(row: SessionRow, sink: Sink) {
    this.row = row;
    this.#sink = sink;
    this.#backlog = new Backlog(row.id, (bytes) => sink.queued(row.principal, bytes));
    this.hash = genesis(row.id);
    this.#chain = this.hash;
  }

  /**
   * Adds an event and answers its sequence number. The objects given are kept: do not change them afterwards.
   * @param later - completes the facts before the event is encoded: what is worked out elsewhere need not be waited for
   */
  append(kind: EventKind, facts: Facts, payload: Payload | null = null, later: Later | null = null): number {
    const seq = ++this.#lastSeq;
    if (this.#givenUp) {
      later?.complete();
      return seq;
    }
    const size = roughSize(facts, payload);
    const event = { seq, at: this.#sink.wall(), kind, facts, payload, later };
    if (seq === 1 && !this.#failed) this.#beginning = event;
    this.#backlog.push(event, size, this.#listen);
    this.appendedBytes += size;
    this.#sink.dirty(this, false);
    return seq;
  }

  /**
   * Calls `go` when every event appended so far is as safe as the session's mode asks: committed (strict) or within the
   * bounded buffer (buffered). At once when that is known already; never when the log has failed.
   */
  whenSafe(go: () => void): void {
    if (this.#failed) return;
    const seq = this.#lastSeq;
    if (this.#waiters.size === 0 && this.#isSafe(seq)) {
      go();
      return;
    }
    this.#waiters.push({ seq, since: this.#sink.monotonic(), go });
    this.#sink.dirty(this, true);
  }

  /** Whether something waits to become safe. */
  get waiting(): boolean {
    return this.#waiters.size > 0;
  }

  /** Since when (monotonic milliseconds) the oldest waiter waits; null when none does. */
  get waitingSince(): number | null {
    return this.#waiters.head?.since ?? null;
  }

  /** How much was not taken yet, roughly, bytes. */
  get pendingBytes(): number {
    return this.#backlog.bytes;
  }

  get hasEvents(): boolean {
    return !this.#backlog.isEmpty;
  }

  get hasPending(): boolean {
    return this.hasEvents || (this.receipt !== null && !this.rowWritten && !this.#givenUp);
  }

  /** Closes the log: its last event, and the receipt for the row. */
  close(receipt: Receipt): void {
    if (this.receipt !== null) return;
    this.append('close', closingFacts(receipt));
    this.receipt = receipt;
    this.rowWritten = false;
    this.#sink.dirty(this, true);
  }

  /**
   * For the recorder: encodes some of what it has not taken, up to what is worked out elsewhere still.
   * @returns how much it was, bytes; 0 when there is nothing to encode, or not yet
   * @throws for an event that cannot be encoded
   */
  encode(most: number): number {
    return this.#chain === null ? 0 : this.#backlog.encode(this.#chain, most);
  }

  /** Whether so much waits to be encoded that it should not wait until it is written. */
  get hasMany(): boolean {
    return this.#chain !== null && this.#backlog.hasFresh(MANY);
  }

  /** For the recorder: takes what is to be written next, with the chain's value before it. `encoded` is to be called once it is. */
  take(): TakenPart | null {
    const before = this.#chain;
    const part = this.#backlog.take();
    if (part === null) return null;
    if (before === null) throw new Error('what was taken before is not encoded');
    this.#chain = null;
    return { ...part, before };
  }

  /** For the recorder: what was taken is encoded, and what comes next continues the chain at `hash`. */
  encoded(hash: Buffer): void {
    this.#chain = hash;
  }

  /** For the recorder: everything up to `seq` is committed and the chain stands at `hash`. */
  committed(seq: number, hash: Buffer): void {
    this.committedSeq = seq;
    this.hash = hash;
    this.#beginning = null;
    this.wake();
  }

  /** For the recorder: lets go of the waiters whose events have become safe. */
  wake(): void {
    for (let next = this.#waiters.head; next !== undefined && this.#isSafe(next.seq); next = this.#waiters.head) {
      this.#waiters.shift();
      next.go();
    }
  }

  /**
   * For the recorder: what was taken cannot be written as it is. Nothing that waits may go on; a gap takes the place of all
   * that was not committed, but for the beginning, and the session is to be cut. Should that not be written either, it is the gap alone,
   * and then nothing: the log is given up.
   */
  fail(why: string): void {
    const first = this.#failed ? null : this.#beginning;
    this.#givenUp = this.#failed && this.#beginning === null;
    this.#beginning = first;
    this.#failed = true;
    this.#waiters.replace([]);
    this.#backlog.lost();
    this.#chain = this.hash;
    if (!this.#givenUp) {
      const last = this.#lastSeq;
      this.#lastSeq = this.committedSeq;
      if (first !== null) this.append(first.kind, first.facts, first.payload);
      this.append('gap', { about: 'not_recorded', events: last - this.#lastSeq, why });
      if (this.receipt !== null) this.append('close', closingFacts(this.receipt));
    }
    this.onStall();
  }

  /**
   * For the recorder: the row was closed by another gateway; what was taken, and all that followed, comes behind its events.
   * @param events - those of `taken`
   */
  continueBehind(
    head: { readonly lastSeq: number; readonly hash: Buffer },
    taken: Stretch,
    events: readonly RecordedEvent[],
  ): void {
    const first = events[0]?.seq ?? head.lastSeq + 1;
    const by = head.lastSeq + 1 - first;
    const move = (event: RecordedEvent) => shifted(event, first, by);
    this.#backlog.putBack(taken.moved(by, move, events), (stretch) => stretch.moved(by, move));
    this.#chain = head.hash;
    this.#waiters.replace(this.#waiters.all().map((waiter) => ({ ...waiter, seq: waiter.seq + by })));
    this.#lastSeq += by;
    this.committedSeq = head.lastSeq;
    this.hash = head.hash;
    this.rowWritten = false;
  }

  #isSafe(seq: number): boolean {
    return this.committedSeq >= seq || (this.row.mode === 'buffered' && this.#sink.hasRoom(this.row.principal));
  }
}

const EVENT_OVERHEAD = 200;

function roughSize(facts: Facts, payload: Payload | null): number {
  let size = EVENT_OVERHEAD;
  for (const target of facts.on ?? []) size += target.length;
  for (const name in payload) size += weight(payload[name]);
  return size;
}

function weight(value: Json | undefined): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  // Parameters and headers: a list or a map of short texts; what is nested deeper counts by its own parts.
  let size = 16;
  if (Array.isArray(value)) for (const part of value) size += weight(part);
  else for (const part of Object.values(value)) size += weight(part);
  return size;
}

/** An event moved back by `by`; a result keeps pointing at its action. */
function shifted(event: RecordedEvent, first: number, by: number): RecordedEvent {
  const { of } = event.facts;
  const facts = of !== undefined && of >= first ? { ...event.facts, of: of + by } : event.facts;
  return { ...event, seq: event.seq + by, facts };
}
