import type { Clock } from '../clock.js';

/**
 * How long the store has been silent, by the monotonic clock. Counted from the moment the last answered question was
 * asked: what the answer said was true then.
 */
export class Staleness {
  readonly #limit: number;
  readonly #clock: Clock;
  readonly #stale: () => void;
  #confirmed: number;
  #timer: NodeJS.Timeout | undefined;

  /** @param limit - milliseconds; 0: the first failure is too long */
  constructor(limit: number, clock: Clock, stale: () => void) {
    this.#limit = limit;
    this.#clock = clock;
    this.#stale = stale;
    this.#confirmed = clock.monotonic();
  }

  /** How long ago the question was asked that was answered last, milliseconds. */
  get age(): number {
    return this.#clock.monotonic() - this.#confirmed;
  }

  /** @param asked - when the question was asked (monotonic) */
  answered(asked: number): void {
    this.#confirmed = asked;
    this.stop();
  }

  /** While the silence lasts beyond the limit every further failure says so again: nothing admitted meanwhile is forgotten. */
  failed(): void {
    const left = this.#confirmed + this.#limit - this.#clock.monotonic();
    if (this.#limit === 0 || !(left > 0)) {
      this.stop();
      this.#stale();
    } else {
      this.#timer ??= setTimeout(() => this.#due(), Math.ceil(left));
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #due(): void {
    this.#timer = undefined;
    this.failed();
  }
}
