/**
 * How long the ledger has answered this gateway without a break. Counted by the ledger's own clock, as the others' signs of
 * life are: a machine that slept, or a clock that was stepped, is a break and no time.
 */
export class Unbroken {
  readonly #longestGap: number;
  #since = 0;
  #last: number | null = null;

  /** @param longestGap - how far two answers may be apart, milliseconds */
  constructor(longestGap: number) {
    this.#longestGap = longestGap;
  }

  /** @param at - when the ledger answered, by its clock: milliseconds since the epoch */
  answered(at: number): void {
    if (this.#last === null || Math.abs(at - this.#last) > this.#longestGap) this.#since = at;
    this.#last = at;
  }

  /** It did not answer: counted from anew. */
  failed(): void {
    this.#last = null;
  }

  /** Milliseconds from the first answer of the row to its last. */
  get length(): number {
    return this.#last === null ? 0 : this.#last - this.#since;
  }
}
