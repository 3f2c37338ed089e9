import type { Clock } from '../../clock.js';
import { messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import type { PostgresTarget } from '../role.js';
import type { Catalog } from './catalog.js';

/** How often a catalog is read again while sessions use it, milliseconds. */
const REFRESH_AFTER = 30_000;
/** Older than this it is nobody's any more, milliseconds: restricted roles are refused until it can be read again. */
const OLDEST = 120_000;
/** A catalog that lacks what a client names, or that a session begins with, is no older than this, milliseconds. */
const FRESH = 1_000;

/** Where one session gets the catalog of its upstream from. */
export interface CatalogSource {
  /** The catalog, or null when there is none that is young enough: fail closed. */
  current(): Catalog | null;
  /** Something was named that the catalog lacks: it is read again unless that was done just now. */
  wanted(): void;
  /** The gateway forwarded what may have changed the catalog: every reader of this database reads it again. */
  changed(): void;
}

/** A source that a session holds: while anybody does, the catalog is kept fresh. */
export interface HeldCatalog extends CatalogSource {
  /** Resolves when the catalog was read within the last second, or could not be. Never rejects. */
  ready(): Promise<void>;
  release(): void;
}

/** Reads a catalog. */
export type LoadCatalog = (target: PostgresTarget) => Promise<Catalog>;

/** The catalogs of all upstreams, one for each account on each database. */
export class Catalogs {
  readonly #keepers = new Map<string, Keeper>();
  readonly #load: LoadCatalog;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(load: LoadCatalog, clock: Clock, log: Log) {
    this.#load = load;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Takes hold of the catalog of a role's upstream, for one session.
   * @param now - the upstream; asked at each reading, since its password may have been replaced
   */
  hold(now: () => PostgresTarget): HeldCatalog {
    const target = now();
    const { host, port, database, user, tls } = target;
    const key = JSON.stringify([host, port, database, user, tls]);
    const keeper = this.#keepers.get(key) ?? new Keeper(target, this.#load, this.#clock, this.#log);
    this.#keepers.set(key, keeper);
    const holder = { now };
    keeper.holders.add(holder);
    keeper.plan();
    return {
      current: () => keeper.current(),
      wanted: () => void keeper.within(FRESH),
      changed: () => this.#changed(target),
      ready: () => keeper.within(FRESH),
      release: () => {
        if (!keeper.holders.delete(holder) || keeper.holders.size > 0) return;
        keeper.stop();
        this.#keepers.delete(key);
      },
    };
  }

  stop(): void {
    for (const keeper of this.#keepers.values()) keeper.stop();
    this.#keepers.clear();
  }

  #changed({ host, port, database }: PostgresTarget): void {
    for (const keeper of this.#keepers.values()) {
      const { target } = keeper;
      if (target.host === host && target.port === port && target.database === database) keeper.changed();
    }
  }
}

class Keeper {
  /** As it was when the first took hold. */
  readonly target: PostgresTarget;
  readonly holders = new Set<{ readonly now: () => PostgresTarget }>();
  readonly #load: LoadCatalog;
  readonly #clock: Clock;
  readonly #log: Log;
  #catalog: Catalog | null = null;
  /** When the catalog that is kept was asked for, and when one was asked for last; monotonic milliseconds. */
  #readAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | null = null;
  /** Somebody asked for it: sessions that may do anything never do, and it is not read for them. */
  #wanted = false;
  /** It changed while it was being read: what is being read may be the old state. */
  #again = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(target: PostgresTarget, load: LoadCatalog, clock: Clock, log: Log) {
    this.target = target;
    this.#load = load;
    this.#clock = clock;
    this.#log = log;
  }

  current(): Catalog | null {
    this.#wanted = true;
    if (this.#clock.monotonic() - this.#readAt <= OLDEST) return this.#catalog;
    void this.within(FRESH);
    return null;
  }

  within(age: number): Promise<void> {
    this.#wanted = true;
    if (this.#reading !== null) return this.#reading;
    return this.#clock.monotonic() - this.#askedAt < age ? Promise.resolve() : this.renew();
  }

  changed(): void {
    if (this.#wanted) void this.renew();
  }

  renew(): Promise<void> {
    if (this.#reading !== null) {
      this.#again = true;
      return this.#reading;
    }
    this.#reading = this.#read().finally(() => {
      this.#reading = null;
      this.plan();
    });
    return this.#reading;
  }

  /** Reads it again in a while, as long as anybody holds it. */
  plan(): void {
    if (this.#timer !== null || this.holders.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#wanted) void this.within(FRESH);
      this.plan();
    }, REFRESH_AFTER);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #read(): Promise<void> {
    do {
      this.#again = false;
      this.#askedAt = this.#clock.monotonic();
      try {
        const read = await this.#load([...this.holders].at(-1)?.now() ?? this.target);
        if (read.version !== this.#catalog?.version) this.#catalog = read;
        this.#readAt = this.#askedAt;
      } catch (thrown) {
        const { host, port, database, user } = this.target;
        this.#log.warn(
          { upstream: `${host}:${port}`, database, user, err: messageOf(thrown) },
          'the catalog cannot be read',
        );
      }
    } while (this.#again);
  }
}
