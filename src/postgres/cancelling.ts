/**
 * Tells a server of a client's cancel requests, one after the other: each takes a connection of its own, for two seconds where the
 * server is silent. Those that come meanwhile are told once, behind it: they may be about a statement that came later.
 */
export class Cancelling {
  readonly #tell: () => Promise<void>;
  #underWay: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  /** @param tell - resolves when the server has been told, or could not be */
  constructor(tell: () => Promise<void>) {
    this.#tell = tell;
  }

  /** Resolves when the server has been told of this one, or could not be. */
  ask(): Promise<void> {
    if (this.#underWay === null) return this.#begin();
    this.#next ??= this.#underWay.then(() => {
      this.#next = null;
      return this.#begin();
    });
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#underWay = this.#tell().then(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }
}
