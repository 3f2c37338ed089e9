import type pg from 'pg';
import type { Clock } from '../clock.js';
import { ask, type Row } from './ask.js';
import { CLOSED } from './logins.js';
import { digestOf, isSecret, newSecret } from './secret.js';
import { unheld } from './unheld.js';

/** How many tokens a person may have at once: a new one ends the oldest. */
const MOST_TOKENS = 16;
const PREFIX = 'dpt_';

/** Who a tool acts for. */
export interface Token {
  readonly subject: string;
  /** SHA-256 of its secret. */
  readonly hash: Buffer;
  /** What the tool called itself. */
  readonly client: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** A token that was just made: the only time that its text is there. */
export interface NewToken {
  readonly token: string;
  readonly subject: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * Tokens of tools: bearers of a person's login, over when it is. Every method throws `DaypassError('ledger_unavailable')`
 * when the ledger does not answer.
 */
export class Tokens {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;

  constructor(pool: pg.Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /**
   * Makes a token of a login, and ends the person's oldest beyond `MOST_TOKENS`.
   * @param login - hash of the login's secret
   * @returns null when the login is over
   */
  async create(login: Buffer, client: string): Promise<NewToken | null> {
    const secret = newSecret();
    const [row] = await ask(
      this.#pool,
      `with login as (
         select principal, expires_at from logins
         where hash = $1 and ended_at is null and expires_at > $2 and not exists (${CLOSED})
       ), beyond as (
         select t.hash from tokens t join logins l on l.hash = t.login
         where t.principal = (select principal from login) and t.ended_at is null and l.ended_at is null and t.expires_at > $2
         order by t.created_at desc, t.hash offset $5
       ), oldest as (
         update tokens set ended_at = $2 where hash in (${unheld('tokens')})
       ), made as (
         insert into tokens (hash, principal, login, created_at, expires_at, client)
         select $3, principal, $1, $2, expires_at, $4::text from login returning principal, expires_at
       )
       select *, ${lineOf('browser', 'token.create')} from (select *, $4::text as client from made) as token`,
      [login, new Date(this.#clock.wall()), digestOf(secret), client, MOST_TOKENS - 1],
    );
    if (!(row?.expires_at instanceof Date)) return null;
    return { token: PREFIX + secret, subject: String(row.principal), expiresAt: row.expires_at.getTime() };
  }

  /** @returns null for what is no token, or one that is over: with its login, or with its person's account */
  async find(text: string): Promise<Token | null> {
    const hash = hashOf(text);
    if (hash === null) return null;
    const [row] = await ask(
      this.#pool,
      `select t.principal, t.client, t.expires_at
       from tokens t join logins l on l.hash = t.login and l.ended_at is null and l.expires_at > $2
       where t.hash = $1 and t.ended_at is null and t.expires_at > $2
         and not exists (${CLOSED.replace('= principal', '= t.principal')})`,
      [hash, new Date(this.#clock.wall())],
    );
    return row === undefined ? null : tokenOf(row, hash);
  }

  /** Ends one token. @returns whose it was; null when there was none */
  async end(text: string): Promise<string | null> {
    const hash = hashOf(text);
    if (hash === null) return null;
    const statement = `with ended as (
        update tokens set ended_at = $2 where hash = $1 and ended_at is null returning principal, client
      )
      select principal, ${lineOf('token', 'token.end')} from ended`;
    const [row] = await ask(this.#pool, statement, [hash, new Date(this.#clock.wall())]);
    return row === undefined ? null : String(row.principal);
  }
}

/** Neither is there without its line in the audit log: what is made or ended is written down by the same statement, at `$2`. */
function lineOf(via: 'browser' | 'token', act: string): string {
  return `audit_append($2, principal, '${via}', '${act}', 'person:' || principal, null, 'done', jsonb_build_object('client', client))`;
}

function hashOf(text: string): Buffer | null {
  const secret = text.slice(PREFIX.length);
  return text.startsWith(PREFIX) && isSecret(secret) ? digestOf(secret) : null;
}

function tokenOf(row: Row, hash: Buffer): Token | null {
  if (!(row.expires_at instanceof Date)) return null;
  const { principal, client, expires_at: expiresAt } = row;
  return { subject: String(principal), hash, client: String(client), expiresAt: expiresAt.getTime() };
}
