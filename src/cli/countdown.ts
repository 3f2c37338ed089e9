/** What is said to be left, minutes. */
const WARN_AT = [15, 5, 1] as const;
/** How far this machine's two clocks may come apart before the gateway is asked again, milliseconds. */
const DRIFT = 2_000;

/** The two clocks of this machine, milliseconds. */
export interface Clocks {
  readonly monotonic: () => number;
  readonly wall: () => number;
}

/**
 * The time that is left, as the gateway said it and counted on from there. What this machine's clock says of the day decides
 * nothing: it is only looked at to notice that it was set, or that the machine slept.
 */
export class Countdown {
  readonly #clocks: Clocks;
  #until = 0;
  #apart = 0;
  /** Minutes that are still to be warned of. */
  #ahead: readonly number[] = [];

  constructor(clocks: Clocks) {
    this.#clocks = clocks;
  }

  /** The gateway said how much is left just now. @param seconds - never below 0 */
  set(seconds: number): void {
    const before = this.left;
    this.#until = this.#clocks.monotonic() + seconds * 1_000;
    this.#apart = this.#difference();
    // A renewal makes old warnings new; an answer that took a second does not.
    if (this.#ahead.length === 0 || seconds > before + 30) this.#ahead = WARN_AT.filter((at) => at * 60 < seconds);
  }

  /** Whole seconds. */
  get left(): number {
    return Math.max(0, Math.floor((this.#until - this.#clocks.monotonic()) / 1_000));
  }

  /** Whether this machine slept, or its clock was set, since the gateway was asked: what was counted may be wrong. */
  get isDoubtful(): boolean {
    return Math.abs(this.#difference() - this.#apart) > DRIFT;
  }

  /** The warning that is due now, in minutes, once. */
  warning(): number | null {
    const due = this.#ahead.filter((at) => at * 60 >= this.left);
    this.#ahead = this.#ahead.filter((at) => !due.includes(at));
    return due.at(-1) ?? null;
  }

  #difference(): number {
    return this.#clocks.wall() - this.#clocks.monotonic();
  }
}

/** `1:02:03`, `14:59`. */
export function clockFace(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
