import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { GrantWatcher } from './grant.js';
import { MAX_SKEW_MS, skewOf } from './judge.js';
import type { Ledger } from './ledger.js';
import { LedgerWatch } from './ledger-watch.js';
import { Staleness } from './staleness.js';
import type { GrantStore } from './store.js';

const TICK_MS = 1_000;
/** So long the process may be busy, or stopped, until what it knows counts no more, however short the staleness is. */
const LEAST_KNOWN_MS = 5_000;

export interface WatchParts {
  readonly store: GrantStore;
  readonly ledger: Pick<Ledger, 'states'>;
  readonly watcher: GrantWatcher;
  /** Milliseconds without an answer of the store after which live sessions end; 0: at the first failure. */
  readonly staleness: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** What of the three answers now. */
export interface WatchHealth {
  readonly feed: boolean;
  readonly store: boolean;
  readonly ledger: boolean;
  /** How old the last answer of the store and of the ledger is, milliseconds. */
  readonly storeAge: number;
  readonly ledgerAge: number;
  /** How far our clock is ahead of the store's, milliseconds; negative: behind. Nobody is admitted beyond 2 s. */
  readonly skew: number;
}

export interface GrantWatch {
  stop(): Promise<void>;
  health(): WatchHealth;
}

/**
 * Watches the grants that live sessions hold: the feed tells of changes, the ledger is asked every 2 s in case the feed
 * is deaf, the store is pinged every second so that sessions end when it is silent for longer than `staleness`.
 * Resolves after the first attempt at each; what does not answer is tried again until `stop`.
 */
export async function startGrantWatch(parts: WatchParts): Promise<GrantWatch> {
  const watch = new Watch(parts);
  await watch.start();
  return watch;
}

class Watch implements GrantWatch {
  readonly #parts: WatchParts;
  readonly #staleness: Staleness;
  readonly #ledger: LedgerWatch;
  #unsubscribe: (() => Promise<void>) | undefined;
  #feed = false;
  #store = false;
  #skew = 0;
  #awakeAt: number;
  #pinging = false;
  #subscribing = false;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#awakeAt = parts.clock.monotonic();
    this.#staleness = new Staleness(parts.staleness, parts.clock, () => this.#stale());
    this.#ledger = new LedgerWatch(parts.ledger, parts.watcher, parts.clock, parts.log);
  }

  async start(): Promise<void> {
    await Promise.all([this.#subscribe(), this.#ping()]);
    if (this.#stopped) return;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#ledger.start();
  }

  health(): WatchHealth {
    const { answers: ledger, age: ledgerAge } = this.#ledger;
    return { feed: this.#feed, store: this.#store, ledger, storeAge: this.#staleness.age, ledgerAge, skew: this.#skew };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#staleness.stop();
    this.#ledger.stop();
    await this.#unsubscribe?.();
  }

  #tick(): void {
    this.#awake(this.#awakeAt);
    this.#parts.watcher.tick();
    void this.#ping();
    void this.#subscribe();
  }

  async #subscribe(): Promise<void> {
    if (this.#unsubscribe || this.#subscribing) return;
    this.#subscribing = true;
    try {
      const unsubscribe = await this.#parts.store.subscribe((id) => this.#heard(id), {
        lost: () => this.#feedLost(),
        resumed: () => this.#feedHeard(),
      });
      if (this.#stopped) return await unsubscribe();
      this.#unsubscribe = unsubscribe;
      this.#feedHeard();
    } catch (error) {
      this.#parts.log.debug({ error: messageOf(error) }, 'the grant feed is not there yet');
    } finally {
      this.#subscribing = false;
    }
  }

  #heard(id: string): void {
    if (this.#parts.watcher.heldIds().includes(id)) this.#parts.watcher.recheck(id);
  }

  #feedLost(): void {
    this.#feed = false;
    this.#parts.log.warn('the grant feed is interrupted');
    void this.#ping();
  }

  /**
   * The process runs, and has not slept since then for too long. Whoever slept does not know what was revoked meanwhile, and may read what
   * services sent before it reads that: it takes an answer to what was asked since.
   */
  #awake(since: number): void {
    const { staleness, clock, watcher } = this.#parts;
    const limit = Math.max(staleness, LEAST_KNOWN_MS);
    const now = clock.monotonic();
    if (now >= since + limit) return;
    this.#awakeAt = now;
    watcher.known(now + limit);
  }

  /** What changed while nobody listened was missed. */
  #feedHeard(): void {
    this.#feed = true;
    for (const id of this.#parts.watcher.heldIds()) this.#parts.watcher.recheck(id);
  }

  async #ping(): Promise<void> {
    if (this.#pinging || this.#stopped) return;
    this.#pinging = true;
    const { store, clock } = this.#parts;
    const [asked, askedWall] = [clock.monotonic(), clock.wall()];
    try {
      this.#compare(skewOf(await store.ping(), askedWall, clock.wall()));
      this.#answered(asked);
    } catch (error) {
      this.#silent(error);
    } finally {
      this.#pinging = false;
    }
  }

  /** Only said here: each admission compares the clocks by itself. */
  #compare(skew: number): void {
    const wasApart = isApart(this.#skew);
    this.#skew = skew;
    if (isApart(skew) === wasApart) return;
    if (wasApart) this.#parts.log.info("the clock agrees with the grant store's again");
    else
      this.#parts.log.error({ skew }, "the clock differs from the grant store's by more than 2 s: nobody is admitted");
  }

  #answered(asked: number): void {
    if (this.#stopped) return;
    this.#staleness.answered(asked);
    this.#awake(asked);
    if (!this.#store) this.#parts.log.info('the grant store answers');
    this.#store = true;
  }

  #silent(error: unknown): void {
    if (this.#stopped) return;
    if (this.#store) this.#parts.log.error({ error: messageOf(error) }, 'the grant store does not answer');
    this.#store = false;
    this.#staleness.failed();
  }

  #stale(): void {
    this.#parts.log.error({ staleness: this.#parts.staleness }, 'live grants could not be confirmed for too long');
    this.#parts.watcher.stale();
  }
}

/** Whether two clocks differ by more than admission allows; a difference that is no number counts. */
export function isApart(skew: number): boolean {
  return !(Math.abs(skew) <= MAX_SKEW_MS);
}
