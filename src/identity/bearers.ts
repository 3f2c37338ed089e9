import type pg from 'pg';
import type { Clock } from '../clock.js';
import type { Grant } from '../grant/grant.js';
import { ask } from './ask.js';
import { CLOSED } from './logins.js';
import type { Token, Tokens } from './tokens.js';

/** A person whose tool showed its token, at one grant: what the gate takes in place of a handle. */
export class Bearer {
  /** `tool:` and the hash of the token: it names the login to the watch over live sessions, and opens nothing. */
  readonly holder: string;
  readonly grantId: string;
  readonly principal: string;
  readonly #expiresAt: number;
  readonly #clock: Clock;
  readonly #isLive: () => Promise<boolean>;
  /** When the ledger was asked last, monotonic milliseconds. */
  #confirmed: number;
  #confirming: Promise<boolean> | null = null;

  /** @param isLive - asks the ledger again */
  constructor({ hash, subject, expiresAt }: Token, grantId: string, clock: Clock, isLive: () => Promise<boolean>) {
    this.holder = PREFIX + hash.toString('hex');
    this.grantId = grantId;
    this.principal = subject;
    this.#expiresAt = expiresAt;
    this.#clock = clock;
    this.#isLive = isLive;
    this.#confirmed = clock.monotonic();
  }

  /** Whether the grant is the one that was asked for, and the person's own, and they are logged in still. */
  holds(grant: Grant): boolean | Promise<boolean> {
    const isTheirs = this.grantId === grant.id && this.principal === grant.principal;
    if (!isTheirs || this.#expiresAt <= this.#clock.wall()) return false;
    return this.#clock.monotonic() - this.#confirmed < FRESH || this.#confirm();
  }

  /** Asked once for all who wait; whoever does not wait for the answer need not hear that there is none. */
  #confirm(): Promise<boolean> {
    if (this.#confirming !== null) return this.#confirming;
    const confirming = this.#askAgain().finally(() => {
      this.#confirming = null;
    });
    confirming.catch(() => {});
    this.#confirming = confirming;
    return confirming;
  }

  async #askAgain(): Promise<boolean> {
    const asked = this.#clock.monotonic();
    if (!(await this.#isLive())) return false;
    this.#confirmed = asked;
    return true;
  }
}

/** What the ledger said of a token counts for so long, milliseconds. */
const FRESH = 2_000;

const PREFIX = 'tool:';

/** Whether a live session was opened by a tool's token. */
export function isToolHolder(holder: string): boolean {
  return holder.startsWith(PREFIX);
}

/** The tokens of tools as credentials for grants, on all gateways. */
export class Bearers {
  readonly #pool: pg.Pool;
  readonly #tokens: Tokens;
  readonly #clock: Clock;

  constructor(pool: pg.Pool, tokens: Tokens, clock: Clock) {
    this.#pool = pool;
    this.#tokens = tokens;
    this.#clock = clock;
  }

  /**
   * The person whose token this is, at a grant, which need not be theirs: the gate asks.
   * @returns null for what is no token, or one that is over
   * @throws DaypassError `ledger_unavailable`
   */
  async find(token: string, grantId: string): Promise<Bearer | null> {
    const found = await this.#tokens.find(token);
    const isLive = async () => (await this.#tokens.find(token)) !== null;
    return found && new Bearer(found, grantId, this.#clock, isLive);
  }

  /**
   * Which of these holders are logged in still.
   * @throws DaypassError `ledger_unavailable`
   */
  async live(held: readonly string[]): Promise<readonly string[]> {
    if (held.length === 0) return [];
    const hashes = held.map((holder) => Buffer.from(holder.slice(PREFIX.length), 'hex'));
    const rows = await ask(this.#pool, LIVE, [hashes, new Date(this.#clock.wall())]);
    return rows.flatMap(({ hash }) => (Buffer.isBuffer(hash) ? [PREFIX + hash.toString('hex')] : []));
  }
}

const LIVE = `select t.hash from tokens t join logins l on l.hash = t.login and l.ended_at is null and l.expires_at > $2
  where t.hash = any($1::bytea[]) and t.ended_at is null and t.expires_at > $2
    and not exists (${CLOSED.replace('= principal', '= t.principal')})`;
