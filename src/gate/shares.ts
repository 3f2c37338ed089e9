import { Holdings } from '../holdings.js';
import { descriptors } from './descriptors.js';

/** Connections of people at once: idle, and through TLS to a service, each takes some 40 KB. */
const MOST = 32_768;
/** Of its descriptors a process gives them this part. Each takes two, its client's and its service's; some are for the process itself. */
const PART = 3 / 10;

/** What may have connections to a service that nobody uses any more, or not at the moment. */
export interface Giver {
  /** Closes the one that has rested longest. @returns false where none rests */
  giveWay(): boolean;
}

/**
 * Connections of people who were let in. There is room for so many in a process, and a person may have as many of them as are
 * free: one alone half of the room, of two each a third. So one alone keeps nobody out, and nobody's are ever ended for it. What rests
 * between a person's requests is there beside them, once for each of their grants: it may take what is free, and gives way.
 */
export class Shares {
  readonly #most: number;
  readonly #taken = new Holdings();
  /** Those of whom something rests, or rested when they were asked last. */
  readonly #givers = new Set<Giver>();
  #resting = 0;

  /** @param most - how many there is room for; by the machine unless told */
  constructor(most = Math.min(MOST, Math.floor(descriptors() * PART))) {
    this.#most = most;
  }

  /** One more of somebody's. @returns whether there is room for it */
  take(person: string): boolean {
    if (!this.#taken.leaves(person, 1, this.#most)) return false;
    this.#taken.add(person, 1);
    this.#makeRoom();
    return true;
  }

  giveBack(person: string): void {
    this.#taken.add(person, -1);
  }

  /** One connection of a giver rests from here on. */
  rests(giver: Giver): void {
    this.#resting += 1;
    this.#givers.add(giver);
    this.#makeRoom();
  }

  /** Nothing of a giver will rest any more. */
  leave(giver: Giver): void {
    this.#givers.delete(giver);
  }

  /** One is used again, or closed. */
  wakes(): void {
    this.#resting -= 1;
  }

  #makeRoom(): void {
    for (const giver of this.#givers) {
      while (this.#isFull && giver.giveWay());
      if (!this.#isFull) return;
      this.#givers.delete(giver); // of ten thousand whose nothing rests each would be asked again, each time
    }
  }

  get #isFull(): boolean {
    return this.#taken.all + this.#resting > this.#most;
  }
}
