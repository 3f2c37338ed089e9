import type { Rate } from '../policy/decision.js';

interface Bucket {
  left: number;
  /** When `left` was true, monotonic milliseconds. */
  at: number;
}

/**
 * How often a rule was used in a session: a bucket that holds a rule's `count` and fills evenly over its time. Sessions of one
 * grant through several gateways count apart.
 */
export class Rates {
  readonly #buckets = new WeakMap<object, Map<string, Bucket>>();

  /**
   * Takes one use of a rule.
   * @param now - monotonic milliseconds
   * @returns 0 when there was one, else in how many milliseconds there will be
   */
  take(session: object, rule: string, { count, seconds }: Rate, now: number): number {
    const rules = this.#buckets.get(session) ?? new Map<string, Bucket>();
    this.#buckets.set(session, rules);
    const bucket = rules.get(rule) ?? { left: count, at: now };
    rules.set(rule, bucket);
    const every = (seconds * 1_000) / count;
    bucket.left = Math.min(count, bucket.left + (now - bucket.at) / every);
    bucket.at = now;
    if (bucket.left < 1) return Math.ceil((1 - bucket.left) * every);
    bucket.left -= 1;
    return 0;
  }
}
