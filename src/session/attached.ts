import type { Connection } from './connection.js';

/** The end of the list of free places. */
const NONE = -1;

/**
 * The connections and exchanges of a session that are under way, each in a place of its own, which is used again. Not a `Set`: one that
 * thousands pass through each second makes its table anew every few of them, among the old (V8's `OrderedHashTable::Rehash`) once it
 * stands there itself, and each table that was left keeps alive all that stood in it until the next full collection (ADR 0052).
 */
export class Attached {
  /** A connection, or where the next free place is. */
  readonly #places: (Connection | number)[] = [];
  #free = NONE;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @returns its place */
  add(connection: Connection): number {
    const place = this.#free === NONE ? this.#places.length : this.#free;
    const next = this.#places[place];
    if (typeof next === 'number') this.#free = next;
    this.#places[place] = connection;
    this.#size += 1;
    return place;
  }

  /** Takes it out of its place, if it still stands there. */
  remove(place: number, connection: Connection): void {
    if (this.#places[place] !== connection) return;
    this.#places[place] = this.#free;
    this.#free = place;
    this.#size -= 1;
  }

  /** All of them, as they are now. */
  all(): Connection[] {
    return this.#places.filter((one) => typeof one !== 'number');
  }

  clear(): void {
    this.#places.length = 0;
    this.#free = NONE;
    this.#size = 0;
  }
}
