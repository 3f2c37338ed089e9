/**
 * Time is passed in, never read: tests pin the exact instant, and a deadline can be held against both clocks.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, as the machine's wall clock says. It may jump. */
  wall(): number;
  /** Milliseconds from an arbitrary origin. It never goes back and never jumps. */
  monotonic(): number;
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
};

/** How often the clocks are read again at the most; a machine that is that busy may err by more than a millisecond. */
const READINGS = 5;

/**
 * The wall clock less the monotonic clock, milliseconds. A thread may be kept from running between the two readings, tens of
 * milliseconds on a busy machine: they are made again then. What errors are left make it too large, never too small: an end that is reckoned by it comes early.
 */
export function wallAhead(clock: Clock): number {
  for (let left = READINGS; ; left -= 1) {
    const before = clock.monotonic();
    const ahead = clock.wall() - before;
    if (clock.monotonic() - before < 1 || left === 1) return ahead;
  }
}

/** An instant (milliseconds since the epoch) as it leaves the gateway: in ISO 8601; in words where it is none. */
export function iso(at: number): string;
export function iso(at: number | null): string | null;
export function iso(at: number | null): string | null {
  if (at === null) return null;
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? 'no time' : date.toISOString();
}
