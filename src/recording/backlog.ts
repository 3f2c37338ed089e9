import type { FreshEvent } from './event.js';
import type { Hearing } from './hearing.js';
import { Stretch } from './stretch.js';

/**
 * From so many bytes on, roughly, a stretch gets no more. Of one session so much goes into a commit, however much it has to write:
 * whoever waits for the commits behind it would otherwise wait until all of that is packed.
 */
const FULL = 512 * 1024;

/** A stretch, and how much stands in it, roughly, bytes: guessed first, and at least what it is once it is encoded. */
export interface Part {
  readonly stretch: Stretch;
  bytes: number;
}

/** What a session has to write that was not taken yet, in stretches for one block each. */
export class Backlog {
  readonly #sessionId: string;
  readonly #queued: (bytes: number) => void;
  #parts: Part[] = [];
  #bytes = 0;

  /** @param queued - is told what comes and what goes, roughly, bytes */
  constructor(sessionId: string, queued: (bytes: number) => void) {
    this.#sessionId = sessionId;
    this.#queued = queued;
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0;
  }

  /** How much stands in it, roughly, bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether so many events can be encoded now; none behind one that cannot. */
  hasFresh(count: number): boolean {
    let fresh = 0;
    for (const { stretch } of this.#parts) {
      fresh += stretch.fresh;
      if (fresh >= count) return true;
      if (stretch.isStuck) break;
    }
    return false;
  }

  /** @param listen - begins to hear what is encoded for one more block */
  push(event: FreshEvent, bytes: number, listen: () => Hearing): void {
    let last = this.#parts.at(-1);
    if (last === undefined || last.bytes >= FULL) {
      last = { stretch: new Stretch(this.#sessionId, listen()), bytes: 0 };
      this.#parts.push(last);
    }
    last.stretch.push(event);
    last.bytes += bytes;
    this.#count(bytes);
  }

  /**
   * Encodes some of it, up to what is worked out elsewhere still.
   * @param before - the chain's value before all of it
   * @param most - bytes, after which it stops
   * @returns how much it was, bytes; 0 when there is nothing to encode, or not yet
   * @throws for an event that cannot be encoded
   */
  encode(before: Buffer, most: number): number {
    let chain = before;
    for (const part of this.#parts) {
      const { stretch } = part;
      if (stretch.fresh > 0) {
        const size = stretch.encode(chain, most, false);
        // What was counted was guessed: escapes make up to six bytes of one character.
        const more = Math.max(0, stretch.bytes - part.bytes);
        part.bytes += more;
        if (more > 0) this.#count(more);
        return size;
      }
      if (stretch.isStuck) break;
      chain = stretch.hashAfter(chain);
    }
    return 0;
  }

  /** Takes what is to be written next. */
  take(): Part | null {
    const part = this.#parts.shift();
    if (part === undefined) return null;
    this.#count(-part.bytes);
    return part;
  }

  /**
   * All of it comes behind what was taken last, which was not written, and is moved already.
   * @param move - the same for the rest
   */
  putBack(taken: Stretch, move: (stretch: Stretch) => Stretch): void {
    const rest = this.#parts.map(({ stretch, bytes }) => ({ stretch: move(stretch), bytes }));
    this.#parts = [{ stretch: taken, bytes: 0 }, ...rest]; // counted out when it was taken, and in as it is encoded
  }

  /** None of it will ever be in the ledger. */
  lost(): void {
    for (const { stretch } of this.#parts) stretch.lost();
    this.#parts = [];
    this.#count(-this.#bytes);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#queued(bytes);
  }
}
