import type pg from 'pg';
import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import { Batch } from '../grant/batch.js';
import type { Grant } from '../grant/grant.js';
import type { Log } from '../log.js';
import { ask, type Row } from './ask.js';
import { isToolHolder } from './bearers.js';
import { digestOf, isSecret } from './secret.js';

/** What the ledger said of a browser session counts for so long, milliseconds. */
const FRESH = 2_000;
/** How often it is asked about those that hold live sessions, milliseconds. */
const EVERY = 1_000;
/** More are not remembered at once. */
const REMEMBERED = 10_000;

const OF_A_LOGIN = `from browser_sessions b join logins l on l.hash = b.login
  where l.ended_at is null and b.expires_at > $2`;
const LIVE = `select b.hash, b.id, b.grant_id, b.service, b.expires_at, l.principal ${OF_A_LOGIN} and b.ended_at is null`;
/** While its login stands, a session ends for another one alone. */
const HELD = `select b.id, b.ended_at is null as live ${OF_A_LOGIN} and b.id = any($1::uuid[])`;

/** The gate's side: which browser sessions hold live sessions, and how to end those. */
export interface HolderWatcher {
  holders(): readonly string[];
  endHolders(holders: ReadonlySet<string>, reason: 'logged_out' | 'replaced' | 'stale'): void;
}

export interface BrowsersParts {
  readonly pool: pg.Pool;
  readonly watcher: HolderWatcher;
  /** Which tools that hold live sessions are logged in still; without it none is. */
  readonly tools?: { live(held: readonly string[]): Promise<readonly string[]> };
  /** How long live sessions outlast a silent ledger, milliseconds. */
  readonly staleness: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** A browser at one service: what the gate takes in place of a handle. */
export class Browser {
  /** The browser session's id. */
  readonly holder: string;
  readonly grantId: string;
  readonly principal: string;
  readonly service: string;
  readonly #expiresAt: number;
  readonly #wall: () => number;
  /** Set when it is known to be over. */
  ended = false;

  constructor(row: Row, wall: () => number) {
    this.holder = String(row.id);
    this.grantId = String(row.grant_id);
    this.principal = String(row.principal);
    this.service = String(row.service);
    this.#expiresAt = row.expires_at instanceof Date ? row.expires_at.getTime() : Number.NaN;
    this.#wall = wall;
  }

  /** Whether the ledger says the same of both. */
  isAs(other: Browser): boolean {
    return (
      this.holder === other.holder &&
      this.grantId === other.grantId &&
      this.principal === other.principal &&
      this.service === other.service &&
      this.#expiresAt === other.#expiresAt
    );
  }

  /** Whether the grant is the one it was opened with, and its own person's. */
  holds(grant: Grant): boolean {
    return (
      !this.ended && this.#expiresAt > this.#wall() && this.grantId === grant.id && this.principal === grant.principal
    );
  }
}

/**
 * The browser sessions of all gateways, as the ledger knows them. What it said counts for 2 s at most, so that a logout on
 * another gateway ends what is live here soon after, and idle connections too.
 */
export class Browsers {
  readonly #parts: BrowsersParts;
  readonly #known = new Map<string, { readonly browser: Browser; readonly until: number }>();
  readonly #rows: Batch<Row>;
  /** Counts what ended here: an answer that was asked for before it is asked for again. */
  #endings = 0;
  #confirmed: number;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(parts: BrowsersParts) {
    this.#parts = parts;
    this.#confirmed = parts.clock.monotonic();
    this.#rows = new Batch((hashes) => this.#ask(hashes));
  }

  /**
   * The browser whose cookie at a service this is: at once when it was asked for lately.
   * @returns null when it is nobody's, or over
   * @throws DaypassError `ledger_unavailable`
   */
  find(secret: string, service: string): Browser | null | Promise<Browser | null> {
    if (!isSecret(secret)) return null;
    const hash = digestOf(secret).toString('hex');
    const known = this.#known.get(hash);
    const browser = known !== undefined && known.until > this.#parts.clock.monotonic() ? known.browser : undefined;
    if (browser !== undefined) return browser.service === service ? browser : null;
    return this.#look(hash).then((found) => (found?.service === service ? found : null));
  }

  /** Watches over what holds live sessions until `stop`. */
  start(): void {
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#round().finally(() => this.start()), EVERY);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Somebody logged out here: what they opened on this gateway ends at once. */
  async loggedOut(principal: string): Promise<void> {
    this.#endings += 1;
    for (const [hash, { browser }] of this.#known) {
      if (browser.principal !== principal) continue;
      browser.ended = true;
      this.#known.delete(hash);
    }
    await this.#round();
  }

  /** Something that opened live sessions may be over: it is looked at now. */
  recheck(): Promise<void> {
    return this.#round();
  }

  /** A browser was given a new session here: the one before it is over at once. */
  forget(secret: string): void {
    this.#endings += 1;
    this.#over(digestOf(secret).toString('hex'));
  }

  #over(hash: string): null {
    const known = this.#known.get(hash);
    if (known !== undefined) known.browser.ended = true;
    this.#known.delete(hash);
    return null;
  }

  async #look(hash: string): Promise<Browser | null> {
    const asked = this.#parts.clock.monotonic();
    const endings = this.#endings;
    const row = await this.#rows.get(hash);
    if (endings !== this.#endings) return this.#look(hash);
    if (row === null) return this.#over(hash);
    const found = new Browser(row, () => this.#parts.clock.wall());
    // The same for whoever waits still for the check of the grant: a logout ends it for all of them.
    const known = this.#known.get(hash)?.browser;
    const browser = known?.isAs(found) ? known : found;
    if (known !== undefined && known !== browser) known.ended = true;
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    this.#known.set(hash, { browser, until: asked + FRESH });
    return browser;
  }

  async #ask(hashes: readonly string[]): Promise<ReadonlyMap<string, Row>> {
    const { pool, clock } = this.#parts;
    const bytes = hashes.map((hash) => Buffer.from(hash, 'hex'));
    const rows = await ask(pool, `${LIVE} and b.hash = any($1::bytea[])`, [bytes, new Date(clock.wall())]);
    return new Map(rows.map((row) => [Buffer.isBuffer(row.hash) ? row.hash.toString('hex') : '', row]));
  }

  /** Ends what is held by browser sessions that are over; all of it when the ledger has been silent for too long. */
  async #round(): Promise<void> {
    const { watcher, staleness, clock, log } = this.#parts;
    const asked = clock.monotonic();
    const held = watcher.holders();
    try {
      const { live, replaced } = await this.#standing(held);
      this.#confirmed = asked;
      watcher.endHolders(replaced, 'replaced');
      watcher.endHolders(new Set(held.filter((id) => !live.has(id) && !replaced.has(id))), 'logged_out');
    } catch (thrown) {
      log.warn({ err: messageOf(thrown) }, 'browser sessions could not be asked about');
      if (clock.monotonic() - this.#confirmed >= staleness) watcher.endHolders(new Set(held), 'stale');
    }
  }

  /** Which of these stand, and which ended for another one of the same person's. */
  async #standing(held: readonly string[]): Promise<{ live: Set<string>; replaced: Set<string> }> {
    const { pool, tools, clock } = this.#parts;
    const browsers = held.filter((holder) => !isToolHolder(holder));
    const rows = browsers.length === 0 ? [] : await ask(pool, HELD, [browsers, new Date(clock.wall())]);
    const live = new Set(await tools?.live(held.filter(isToolHolder)));
    const replaced = new Set<string>();
    for (const row of rows) (row.live === true ? live : replaced).add(String(row.id));
    return { live, replaced };
  }
}
