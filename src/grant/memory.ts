import type { Clock } from '../clock.js';
import type { GrantStore, StoredGrant } from './store.js';

/** How many writes may pass between two sweeps of what has expired. */
const SWEEP_EVERY = 1_000;

interface Entry {
  readonly token: string;
  readonly expiresAt: number;
}

/** The live index of a single process: the same answers as Redis, against a clock that is passed in. Refilled from the ledger at start. */
export class MemoryGrantStore implements GrantStore {
  readonly #clock: Clock;
  readonly #grants = new Map<string, Entry>();
  /** Until when each tombstone stands. */
  readonly #tombstones = new Map<string, number>();
  readonly #listeners = new Set<(id: string) => void>();
  #writes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async put(id: string, token: string, expiresAt: number): Promise<'stored' | 'revoked' | 'past'> {
    const now = this.#sweepNow();
    if (this.#isRevoked(id, now)) return 'revoked';
    if (!(expiresAt > now)) return 'past';
    this.#grants.set(id, { token, expiresAt });
    return 'stored';
  }

  async get(id: string): Promise<StoredGrant> {
    const now = this.#clock.wall();
    const entry = this.#grants.get(id);
    const live = entry !== undefined && now < entry.expiresAt;
    return { token: live ? entry.token : null, revoked: this.#isRevoked(id, now), now };
  }

  async revoke(id: string, until: number): Promise<void> {
    const now = this.#sweepNow();
    this.#grants.delete(id);
    const stands = Math.max(until, this.#tombstones.get(id) ?? 0);
    if (stands > now) this.#tombstones.set(id, stands);
    await this.announce(id);
  }

  async announce(id: string): Promise<void> {
    for (const heard of this.#listeners) queueMicrotask(() => this.#listeners.has(heard) && heard(id));
  }

  async subscribe(heard: (id: string) => void): Promise<() => Promise<void>> {
    const listener = (id: string) => heard(id);
    this.#listeners.add(listener);
    return async () => void this.#listeners.delete(listener);
  }

  async ping(): Promise<number> {
    return this.#clock.wall();
  }

  async close(): Promise<void> {
    this.#listeners.clear();
  }

  #isRevoked(id: string, now: number): boolean {
    return now < (this.#tombstones.get(id) ?? 0);
  }

  #sweepNow(): number {
    const now = this.#clock.wall();
    this.#writes += 1;
    if (this.#writes % SWEEP_EVERY !== 0) return now;
    for (const [id, entry] of this.#grants) if (entry.expiresAt <= now) this.#grants.delete(id);
    for (const [id, until] of this.#tombstones) if (until <= now) this.#tombstones.delete(id);
    return now;
  }
}
