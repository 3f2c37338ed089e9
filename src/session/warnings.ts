import type { Clock } from '../clock.js';
import type { Deadlines, Due } from './deadlines.js';

/** How long before the end the client is warned, milliseconds. */
const WARN_BEFORE = [300_000, 60_000, 10_000];

/** The warnings before a session's end, one after the other: the next of them stands in the same heap as the end. */
export class Warnings implements Due {
  expiresAt = 0;
  dueMonotonic = 0;
  key = 0;
  place = -1;
  readonly #deadlines: Deadlines;
  readonly #clock: Clock;
  readonly #warn: (seconds: number) => boolean;
  /** What is warned of, milliseconds since the epoch. */
  #end = 0;

  /** @param warn - is told how many seconds are left, and whether there is to be another warning says its answer */
  constructor(deadlines: Deadlines, clock: Clock, warn: (seconds: number) => boolean) {
    this.#deadlines = deadlines;
    this.#clock = clock;
    this.#warn = warn;
  }

  /** Arms the next warning that is still ahead. @param end - milliseconds since the epoch */
  plan(end: number): void {
    this.#end = end;
    this.cancel();
    const left = this.#left;
    const before = WARN_BEFORE.find((ms) => ms < left);
    if (before !== undefined) this.#deadlines.move(this, end - before);
  }

  cancel(): void {
    this.#deadlines.remove(this);
  }

  expire(): undefined {
    if (this.#warn(Math.round(this.#left / 1000))) this.plan(this.#end);
  }

  get #left(): number {
    return this.#end - this.#clock.wall();
  }
}
