import type { Passage } from '../gate/passage.js';
import type { PostgresAction } from './decide.js';

/** More than this is not held back for a Sync: it is released as it is (DETAILS.md, Postgres relay), bytes. */
const MOST_HELD = 64 * 1024;
/** What a client may have waiting before it is read no further, bytes. */
const MOST_WAITING = 1024 * 1024;
/**
 * The same of its record, which is longer than short frames are, and than what is sent in the place of refused ones. What one client has to
 * be recorded stands before everybody else's record.
 */
const MOST_UNRECORDED = 256 * 1024;
/** How often it may have asked for what waits to leave: each Flush of five bytes is held here as well. */
const MOST_RELEASES = 1024;

/** Where released frames go, and how the client is slowed down. */
export interface OutboxEnds {
  /** Writes to the upstream. */
  send(bytes: Buffer): void;
  pause(): void;
  resume(): void;
}

/**
 * The frames a client sent that have not been released yet. They leave together, in order, once everything proposed for
 * them is recorded: one commit for a whole pipeline.
 */
export class Outbox {
  readonly #passage: Passage<PostgresAction>;
  readonly #ends: OutboxEnds;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Each held frame begins where the one before it ends: they are sent as they were received, without a copy. */
  #inOnePiece = true;
  #waitingBytes = 0;
  #waitingRecord = 0;
  #releases = 0;
  /** What the record had when something was released last. */
  #recordedBytes = 0;

  /** Called before anything leaves: what is not in the record yet is put there. */
  beforeRelease: () => void = () => {};

  constructor(passage: Passage<PostgresAction>, ends: OutboxEnds) {
    this.#passage = passage;
    this.#ends = ends;
  }

  /** Whether frames wait to be released or recorded. */
  get isEmpty(): boolean {
    return this.bytes === 0;
  }

  /** How much waits, bytes. */
  get bytes(): number {
    return this.#heldBytes + this.#waitingBytes;
  }

  hold(frame: Buffer): void {
    if (this.#held.length > 0 && !follows(frame, this.#held[this.#held.length - 1]!)) this.#inOnePiece = false;
    this.#held.push(frame);
    this.#heldBytes += frame.length;
    if (this.#heldBytes > MOST_HELD || this.#unreleased > MOST_UNRECORDED) this.release();
  }

  /** What was recorded since the last release, bytes: ten bytes that run a long statement once more are as long as that in the record. */
  get #unreleased(): number {
    return this.#passage.session.recording.appendedBytes - this.#recordedBytes;
  }

  /** Sends what is held as soon as it is recorded; `then` runs right after. */
  release(then: () => void = () => {}): void {
    this.beforeRelease();
    const bytes = this.#take();
    const recorded = this.#unreleased;
    this.#recordedBytes += recorded;
    this.#waitingBytes += bytes.length;
    this.#waitingRecord += recorded;
    this.#releases += 1;
    if (this.#isFull) this.#ends.pause();
    this.#passage.release(() => {
      this.#waitingBytes -= bytes.length;
      this.#waitingRecord -= recorded;
      this.#releases -= 1;
      if (bytes.length > 0) this.#ends.send(bytes);
      then();
      if (!this.#isFull) this.#ends.resume();
    });
  }

  get #isFull(): boolean {
    if (this.#releases > MOST_RELEASES) return true;
    return this.#waitingBytes > MOST_WAITING || this.#waitingRecord > MOST_UNRECORDED;
  }

  #take(): Buffer {
    const [first] = this.#held;
    if (first === undefined) return NOTHING;
    const whole = this.#inOnePiece
      ? Buffer.from(first.buffer, first.byteOffset, this.#heldBytes)
      : Buffer.concat(this.#held, this.#heldBytes);
    const bytes = this.#held.length === 1 ? first : whole;
    this.#held = [];
    this.#heldBytes = 0;
    this.#inOnePiece = true;
    return bytes;
  }
}

const NOTHING = Buffer.alloc(0);

function follows(frame: Buffer, last: Buffer): boolean {
  return frame.buffer === last.buffer && frame.byteOffset === last.byteOffset + last.length;
}
