/** How long a message may stand unfinished while nothing more of it comes, milliseconds. */
export const UNFINISHED = 60_000;

/** How it stands with what a peer sends. */
export interface Coming {
  /** Whether a message, or a frame, has begun and not ended. */
  isAmid(): boolean;
  /** How much has come that counts, bytes. */
  came(): number;
  /** Whether it is we who do not read. */
  isHeld(): boolean;
}

/**
 * Notices a peer that leaves a message unfinished, as one does whose machine is gone: what is held of it would be held until the
 * session's end. Asked at every read, which costs a message that comes at once nothing.
 */
export class Unfinished {
  readonly #half: number;
  readonly #coming: Coming;
  readonly #abandoned: () => void;
  #timer: NodeJS.Timeout | null = null;
  #seen = 0;
  /** How often in a row nothing had come. */
  #silent = 0;

  /**
   * @param within - milliseconds; noticed at the latest after half as much again
   * @param abandoned - called once
   */
  constructor(within: number, coming: Coming, abandoned: () => void) {
    this.#half = within / 2;
    this.#coming = coming;
    this.#abandoned = abandoned;
  }

  /** More was read. */
  read(): void {
    if (!this.#coming.isAmid()) return this.stop();
    if (this.#timer !== null) return;
    this.#seen = this.#coming.came();
    this.#silent = 0;
    this.#timer = setTimeout(() => this.#look(), this.#half);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Twice in a row: who was not read until just now has half the time for what is on its way. */
  #look(): void {
    const came = this.#coming.came();
    if (came !== this.#seen || this.#coming.isHeld()) this.#silent = 0;
    else this.#silent += 1;
    this.#seen = came;
    if (this.#silent === 2) this.#abandoned();
    else this.#timer?.refresh();
  }
}
