/** The part of the buffer that one person's sessions may take. */
const PART = 1 / 4;

/** The bounded buffer of what waits to be written, and who has how much of it, roughly, bytes. */
export class Room {
  readonly #most: number;
  readonly #of = new Map<string, number>();
  #bytes = 0;

  /** @param most - bytes */
  constructor(most: number) {
    this.#most = most;
  }

  /** How much waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether it takes more; of this person's, where one is named. */
  has(person = ''): boolean {
    return this.#bytes < this.#most && (this.#of.get(person) ?? 0) < this.#most * PART;
  }

  /** Counts a person's bytes in or out. */
  count(person: string, bytes: number): void {
    this.#bytes += bytes;
    const theirs = (this.#of.get(person) ?? 0) + bytes;
    if (theirs > 0) this.#of.set(person, theirs);
    else this.#of.delete(person);
  }
}
