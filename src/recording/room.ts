import { Holdings } from '../holdings.js';

/** The part of the buffer that one person's sessions may take. */
const PART = 1 / 4;

/** The bounded buffer of what waits to be written, and who has how much of it, roughly, bytes. */
export class Room {
  readonly #most: number;
  readonly #part: number;
  readonly #held = new Holdings();
  /** The same without what anybody has beyond their part: strict sessions never ask for room, and nobody else is to have less for it. */
  #taken = 0;

  /** @param most - bytes */
  constructor(most: number) {
    this.#most = most;
    this.#part = most * PART;
  }

  /** How much waits. */
  get bytes(): number {
    return this.#held.all;
  }

  /** Whether it takes more of this person's. */
  has(person: string): boolean {
    return this.#taken < this.#most && this.#held.of(person) < this.#part;
  }

  /** Counts a person's bytes in or out. */
  count(person: string, bytes: number): void {
    const theirs = this.#held.add(person, bytes);
    this.#taken += Math.min(theirs, this.#part) - Math.min(theirs - bytes, this.#part);
  }
}
