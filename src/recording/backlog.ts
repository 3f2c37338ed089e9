import type { FreshEvent } from './event.js';
import type { Hearing } from './hearing.js';
import { Stretch, type Unwound } from './stretch.js';

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
  #parts: Part[] = [];

  constructor(sessionId: string) {
    this.#sessionId = sessionId;
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0;
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
      last = { stretch: new Stretch(this.#sessionId, [listen()]), bytes: 0 };
      this.#parts.push(last);
    }
    last.stretch.push(event);
    last.bytes += bytes;
  }

  /**
   * Encodes some of it.
   * @param before - the chain's value before all of it
   * @param most - bytes, after which it stops
   * @returns how much it was, and by how much more it was than had been guessed, bytes
   * @throws for an event that cannot be encoded
   */
  encode(before: Buffer, most: number): { readonly size: number; readonly more: number } {
    let chain = before;
    for (const part of this.#parts) {
      const { stretch } = part;
      if (stretch.fresh > 0) {
        const size = stretch.encode(chain, most);
        // Escapes make up to six bytes of one character.
        const more = Math.max(0, stretch.bytes - part.bytes);
        part.bytes += more;
        return { size, more };
      }
      if (stretch.isStuck) break;
      chain = stretch.hashAfter(chain);
    }
    return { size: 0, more: 0 };
  }

  /** Takes what is to be written next. */
  take(): Part | null {
    return this.#parts.shift() ?? null;
  }

  /** Puts this before everything else. */
  restart(stretch: Stretch, bytes: number): void {
    this.#parts = [{ stretch, bytes }];
  }

  /** None of it will ever be in the ledger. @returns how much it was, bytes */
  lost(): number {
    for (const { stretch } of this.#parts) stretch.lost();
    return this.#clear();
  }

  /** All that stands in it, and how much that was, bytes. */
  unwound(): { readonly parts: readonly Unwound[]; readonly bytes: number } {
    const parts = this.#parts.map(({ stretch }) => stretch.unwound());
    return { parts, bytes: this.#clear() };
  }

  #clear(): number {
    const bytes = this.#parts.reduce((sum, part) => sum + part.bytes, 0);
    this.#parts = [];
    return bytes;
  }
}
