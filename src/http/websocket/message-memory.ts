const MiB = 1024 * 1024;
/** How much the large messages of all clients may take at a time, bytes. */
const MOST = 256 * MiB;

/**
 * The memory for large messages: a client's message is held whole before it goes on, and a few hundred clients that send large ones
 * at once would otherwise take all there is.
 */
export class MessageMemory {
  readonly #most: number;
  #taken = 0;

  /** @param most - bytes */
  constructor(most = MOST) {
    this.#most = most;
  }

  /** How much is taken, bytes. */
  get taken(): number {
    return this.#taken;
  }

  /** What one client takes of it. */
  share(): MemoryShare {
    return new MemoryShare((bytes) => this.#take(bytes));
  }

  #take(bytes: number): boolean {
    if (bytes > 0 && this.#taken + bytes > this.#most) return false;
    this.#taken += bytes;
    return true;
  }
}

/** What one client takes of the memory for large messages. */
export class MemoryShare {
  readonly #take: (bytes: number) => boolean;
  #taken = 0;

  /** For `MessageMemory.share` alone. */
  constructor(take: (bytes: number) => boolean) {
    this.#take = take;
  }

  /** Takes so many bytes more. @returns false where they are not to be had: nothing is taken then */
  take(bytes: number): boolean {
    if (!this.#take(bytes)) return false;
    this.#taken += bytes;
    return true;
  }

  /** Gives back all but so many bytes. */
  keep(bytes: number): void {
    if (this.#taken <= bytes) return;
    this.#take(bytes - this.#taken);
    this.#taken = bytes;
  }
}
