import type { Rate } from '../../policy/decision.js';

interface Bucket {
  readonly count: number;
  /** In how long one use comes back, milliseconds. */
  readonly every: number;
  left: number;
  /** When `left` was true, monotonic milliseconds. */
  at: number;
}

/** How many buckets are kept before those that are full again are looked for. */
const MANY = 1_000;

/**
 * How often a rule was used under a grant: a bucket that holds a rule's `count` and fills evenly over its time. A grant's
 * sessions share it, so that opening another one fills nothing; uses through several gateways count apart.
 */
export class Rates {
  readonly #buckets = new Map<string, Bucket>();
  #most = MANY;

  /**
   * Takes one use of a rule.
   * @param now - monotonic milliseconds
   * @returns 0 when there was one, else in how many milliseconds there will be
   */
  take(grant: string, rule: string, { count, seconds }: Rate, now: number): number {
    const key = `${grant} ${count}/${seconds} ${rule}`;
    const bucket = this.#buckets.get(key) ?? { count, every: (seconds * 1_000) / count, left: count, at: now };
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#most) this.#forgetFull(now);
    bucket.left = filled(bucket, now);
    bucket.at = now;
    if (bucket.left < 1) return Math.ceil((1 - bucket.left) * bucket.every);
    bucket.left -= 1;
    return 0;
  }

  /** A full bucket says as much as none. */
  #forgetFull(now: number): void {
    for (const [key, bucket] of this.#buckets) if (filled(bucket, now) >= bucket.count) this.#buckets.delete(key);
    this.#most = Math.max(MANY, 2 * this.#buckets.size);
  }
}

function filled({ count, every, left, at }: Bucket, now: number): number {
  return Math.min(count, left + (now - at) / every);
}
