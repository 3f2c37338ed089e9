const MiB = 1024 * 1024;
/** How much the large messages of all clients may take at a time, bytes. */
const MOST = 256 * MiB;
/** The part of it that several messages of one person may take at a time. */
const PART = 1 / 4;

/** Who takes something of it. */
interface Person {
  /** Bytes. */
  taken: number;
  readonly shares: Set<MemoryShare>;
}

/**
 * The memory for large messages, or for what else clients have kept here: a message is held whole before it goes on, and until its
 * service has taken it. A few hundred clients that send large ones at once would otherwise take all there is. Several people together
 * cannot take it from another one, either: where it is full, who takes most makes room for who would have less.
 */
export class MessageMemory {
  readonly #most: number;
  readonly #persons = new Map<string, Person>();
  #taken = 0;

  /** @param most - bytes */
  constructor(most = MOST) {
    this.#most = most;
  }

  /** How much is taken, bytes. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * What one client takes of it, on behalf of this person.
   * @param crowdedOut - all of it was given to somebody else: what takes it is to be let go of now
   */
  share(person: string, crowdedOut: () => void): MemoryShare {
    return new MemoryShare((...wanted) => this.#take(person, ...wanted), crowdedOut);
  }

  #take(name: string, share: MemoryShare, bytes: number, most: number): boolean {
    const person = this.#persons.get(name) ?? { taken: 0, shares: new Set() };
    if (bytes > 0 && !this.#mayTake(person, share, bytes, most)) return false;
    this.#taken += bytes;
    person.taken += bytes;
    if (share.taken + bytes > 0) person.shares.add(share);
    else person.shares.delete(share);
    if (person.shares.size > 0) this.#persons.set(name, person);
    else this.#persons.delete(name);
    return true;
  }

  #mayTake({ taken }: Person, share: MemoryShare, bytes: number, most: number): boolean {
    // Of one message alone its role says how large it may be.
    if (taken > share.taken && taken + bytes > this.#most * PART) return false;
    return this.#makeRoom(this.#taken + bytes - this.#most, taken - share.taken + most);
  }

  /** @param most - how much whoever needs it may come to have: others are left with as much */
  #makeRoom(needed: number, most: number): boolean {
    if (needed <= 0) return true;
    const persons = [...this.#persons.values()];
    const beyond = persons.reduce((sum, { taken }) => sum + Math.max(0, taken - most), 0);
    if (needed > beyond) return false;
    for (let left = needed; left > 0; ) left -= largest([...largest(persons).shares]).crowdOut();
    return true;
  }
}

/** @param ones - at least one */
function largest<One extends { readonly taken: number }>(ones: readonly One[]): One {
  return ones.reduce((one, other) => (other.taken > one.taken ? other : one));
}

type Take = (share: MemoryShare, bytes: number, most: number) => boolean;

/** What one client takes of the memory for large messages. */
export class MemoryShare {
  readonly #take: Take;
  readonly #crowdedOut: () => void;
  #isOver = false;
  /** Bytes. */
  taken = 0;

  /** For `MessageMemory.share` alone. */
  constructor(take: Take, crowdedOut: () => void) {
    this.#take = take;
    this.#crowdedOut = crowdedOut;
  }

  /**
   * Takes so many bytes more.
   * @param most - bytes that there may be in the end
   * @returns false where they are not to be had: nothing is taken then
   */
  take(bytes: number, most: number): boolean {
    if (this.#isOver || !this.#take(this, bytes, most)) return false;
    this.taken += bytes;
    return true;
  }

  /** Gives back all but so many bytes. */
  keep(bytes: number): void {
    if (this.taken <= bytes) return;
    this.#take(this, bytes - this.taken, bytes);
    this.taken = bytes;
  }

  /** Gives back all, and takes no more. */
  end(): void {
    this.#isOver = true;
    this.keep(0);
  }

  /** For its memory alone. @returns how much was given back, bytes */
  crowdOut(): number {
    const { taken } = this;
    this.end();
    this.#crowdedOut();
    return taken;
  }
}
