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
