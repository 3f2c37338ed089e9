/**
 * Tells a server of a client's cancel requests, one after the other: each takes a connection of its own, for long where the
 * server is silent. Those that come meanwhile are told once, behind it: they may be about a statement that came later.
 */
export class Cancelling {
  readonly #tell: () => Promise<void>;
  #underWay: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #isOver = false;
  #letGo = () => {};

  /** @param tell - resolves when the server has been told, or could not be; never, where its session ends before that */
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

  /** The session is over: nobody waits any more. */
  stop(): void {
    this.#isOver = true;
    this.#letGo();
  }

  #begin(): Promise<void> {
    const told = new Promise<void>((resolve) => {
      this.#letGo = resolve;
      if (this.#isOver) resolve();
      else void this.#tell().then(resolve);
    });
    this.#underWay = told.then(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }
}
