const MiB = 1024 * 1024;
/** How much the large messages of all clients may take at a time, bytes. */
const MOST = 256 * MiB;
/** The part of it that several messages of one person may take at a time: nobody can take it from everybody else. */
const PART = 1 / 4;

/**
 * The memory for large messages: a client's message is held whole before it goes on, and a few hundred clients that send large ones
 * at once would otherwise take all there is.
 */
export class MessageMemory {
  readonly #most: number;
  /** How much each person takes who takes any, bytes. */
  readonly #persons = new Map<string, number>();
  #taken = 0;

  /** @param most - bytes */
  constructor(most = MOST) {
    this.#most = most;
  }

  /** What one client takes of it, on behalf of this person. */
  share(person: string): MemoryShare {
    return new MemoryShare((bytes, own) => this.#take(person, bytes, own));
  }

  #take(person: string, bytes: number, own: number): boolean {
    const before = this.#persons.get(person) ?? 0;
    const after = before + bytes;
    if (bytes > 0 && this.#taken + bytes > this.#most) return false;
    // Of one message alone its role says how large it may be.
    if (bytes > 0 && before > own && after > this.#most * PART) return false;
    this.#taken += bytes;
    if (after > 0) this.#persons.set(person, after);
    else this.#persons.delete(person);
    return true;
  }
}

/** What one client takes of the memory for large messages. */
export class MemoryShare {
  readonly #take: (bytes: number, own: number) => boolean;
  #taken = 0;

  /** For `MessageMemory.share` alone. */
  constructor(take: (bytes: number, own: number) => boolean) {
    this.#take = take;
  }

  /** Takes so many bytes more. @returns false where they are not to be had: nothing is taken then */
  take(bytes: number): boolean {
    if (!this.#take(bytes, this.#taken)) return false;
    this.#taken += bytes;
    return true;
  }

  /** Gives back all but so many bytes. */
  keep(bytes: number): void {
    if (this.#taken <= bytes) return;
    this.#take(bytes - this.#taken, this.#taken);
    this.#taken = bytes;
  }
}
