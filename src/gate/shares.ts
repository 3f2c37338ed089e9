import { descriptors } from './descriptors.js';

/** Connections of people at once: idle, and through TLS to a service, each takes some 40 KB. */
const MOST = 32_768;
/** Of its descriptors a process gives them this part. Each takes two, its client's and its service's. */
const PART = 3 / 8;

/**
 * Connections of people who were let in. There is room for so many in a process, and a person may have as many of them as are
 * free: one alone half of the room, of two each a third. Whoever comes next always finds some, and nobody's are ever ended for it.
 */
export class Shares {
  readonly #most: number;
  readonly #taken = new Map<string, number>();
  #all = 0;

  /** @param most - how many there is room for; by the machine unless told */
  constructor(most = Math.min(MOST, Math.floor(descriptors() * PART))) {
    this.#most = most;
  }

  /** One more of somebody's. @returns whether there is room for it */
  take(person: string): boolean {
    const taken = this.#taken.get(person) ?? 0;
    if (taken >= this.#most - this.#all) return false;
    this.#taken.set(person, taken + 1);
    this.#all += 1;
    return true;
  }

  giveBack(person: string): void {
    const left = (this.#taken.get(person) ?? 0) - 1;
    if (left > 0) this.#taken.set(person, left);
    else this.#taken.delete(person);
    this.#all -= 1;
  }
}
