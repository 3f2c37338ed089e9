import type pg from 'pg';
import type { Clock } from '../clock.js';
import { checkPrincipal } from '../grant/limits.js';
import type { Door } from '../grant/record.js';
import { ask } from './ask.js';
import { beginStatement } from './begin.js';
import { digestOf, isSecret, newSecret } from './secret.js';

/** How long a login link may be used, milliseconds. */
const LINK_LASTS = 10 * 60_000;
/** How long a login lasts at most, milliseconds. */
const LOGIN_LASTS = 12 * 3_600_000;
/** How many logins a person may have at once, and how many sessions at one service: a new one ends the oldest. */
export const MOST_BROWSERS = 16;
/** What expired so long ago is thrown away, milliseconds. */
const KEPT = 7 * 86_400_000;

/** Who does something about logins, and why. */
export interface LoginAct {
  readonly by: string;
  readonly reason: string;
  /** The operator's socket unless told. */
  readonly via?: Door | undefined;
}

/** A secret for one person, and until when it holds (milliseconds since the epoch). */
export interface Given {
  readonly principal: string;
  readonly secret: string;
  readonly expiresAt: number;
}

/** Who is logged in with a browser. */
export interface Login {
  readonly principal: string;
  /** SHA-256 of the login's secret: what is opened with it names it by that. */
  readonly hash: Buffer;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly source: LoginSource;
}

/** What vouched for a login. */
export type LoginSource = 'link' | 'oidc' | 'passkey';

/** How the directory knows a login: what its back-channel logout may name. */
export interface DirectoryLogin {
  readonly issuer: string;
  readonly sub: string;
  readonly sid: string | null;
}

/** Whose sessions at the directory are over: that of `sid`, or all of `sub`. */
export interface LogoutNotice {
  readonly issuer: string;
  readonly sub: string | null;
  readonly sid: string | null;
}

/** How a login comes about. */
export interface Beginning extends LoginAct {
  readonly source: Exclude<LoginSource, 'link'>;
  /** The secret of the login that the browser holds already: it ends. */
  readonly previous: string | null;
  readonly directory?: DirectoryLogin;
}

/** As `Beginning`; `by` null is the person. */
interface Came {
  readonly source: LoginSource;
  readonly previous: string | null;
  readonly by: string | null;
  readonly reason: string;
  readonly directory?: DirectoryLogin;
}

/** An account that is closed or has come to its end by `$2`, for a query that has a `principal`. */
export const CLOSED =
  'select from people where people.subject = principal and (closed_at is not null or ends_at <= $2)';

/**
 * Browsers that are logged in at the gateway's own host. Every method throws `DaypassError('ledger_unavailable')` when the
 * ledger does not answer.
 */
export class Logins {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;
  readonly #loggedOut: (principal: string) => Promise<void>;

  /** @param loggedOut - called when logins of a principal have ended */
  constructor(pool: pg.Pool, clock: Clock, loggedOut: (principal: string) => Promise<void>) {
    this.#pool = pool;
    this.#clock = clock;
    this.#loggedOut = loggedOut;
  }

  /** Makes a link's code, good for one login. @throws DaypassError `invalid_request`, `ledger_unavailable` */
  async link(principal: string, { by, reason }: LoginAct): Promise<Given> {
    checkPrincipal(principal);
    const now = this.#clock.wall();
    const [secret, expiresAt] = [newSecret(), now + LINK_LASTS];
    await this.sweep();
    await ask(
      this.#pool,
      `with link as (
         insert into login_links (hash, principal, created_at, expires_at) values ($1, $2, $3, $4) returning principal
       )
       insert into login_acts (principal, act, at, by, reason) select principal, 'link', $3, $5, $6 from link`,
      [digestOf(secret), principal, new Date(now), new Date(expiresAt), by, reason],
    );
    return { principal, secret, expiresAt };
  }

  /**
   * Turns a link's code into a login, once. What the browser was logged in with before ends, and so do the person's oldest
   * logins beyond `MOST_BROWSERS`.
   * @param as - whose link it has to be; another's stays as it is
   * @returns null for a code that is unknown, used or too old, or whose person's account is closed
   */
  async logIn(code: string, previous: string | null, as: string | null = null): Promise<Given | null> {
    if (!isSecret(code)) return null;
    const link = `update login_links set used_at = $1
      where hash = $12 and used_at is null and expires_at > $1 and ($13::text is null or principal = $13) returning principal`;
    const how = { source: 'link', previous, by: null, reason: 'by a login link' } as const;
    return this.#begin(beginStatement(link, 'optional'), [digestOf(code), as], how);
  }

  /**
   * Logs in a person whom something else has vouched for: the directory, a passkey. As `logIn` otherwise.
   * @returns null when there is no such person, or the account is closed or has come to its end
   */
  async begin(principal: string, beginning: Beginning): Promise<Given | null> {
    return this.#begin(beginStatement('select $12::text as principal', 'needed'), [principal], beginning);
  }

  async #begin(statement: string, who: readonly unknown[], how: Came): Promise<Given | null> {
    const { source, previous, by, reason, directory } = how;
    const now = this.#clock.wall();
    const secret = newSecret();
    const [row] = await ask(this.#pool, statement, [
      ...[new Date(now), digestOf(secret), new Date(now + LOGIN_LASTS), previous && digestOf(previous)],
      ...[MOST_BROWSERS - 1, source, by, reason],
      ...[directory?.issuer ?? null, directory?.sub ?? null, directory?.sid ?? null, ...who],
    ]);
    if (!(row?.expires_at instanceof Date)) return null;
    // Whoever logs in where somebody else was must not be taken for them for a moment longer.
    for (const principal of Array.isArray(row.ended) ? row.ended : []) await this.#loggedOut(String(principal));
    return { principal: String(row.principal), secret, expiresAt: row.expires_at.getTime() };
  }

  /** Who is logged in with this secret; null when nobody is, or the person's account is over. */
  async find(secret: string): Promise<Login | null> {
    if (!isSecret(secret)) return null;
    const hash = digestOf(secret);
    const text = `select principal, expires_at, source from logins
      where hash = $1 and ended_at is null and expires_at > $2 and not exists (${CLOSED})`;
    const [row] = await ask(this.#pool, text, [hash, new Date(this.#clock.wall())]);
    if (!(row?.expires_at instanceof Date)) return null;
    const { principal, expires_at: expiresAt, source } = row;
    return { principal: String(principal), hash, expiresAt: expiresAt.getTime(), source: sourceOf(source) };
  }

  /**
   * Ends all logins of a person and takes back links that were not used yet: "log out everywhere".
   * @returns how many logins there were
   */
  async logOut(principal: string, { by, reason, via = 'socket' }: LoginAct): Promise<number> {
    checkPrincipal(principal);
    const now = new Date(this.#clock.wall());
    // The links first, and in a statement of their own: a login under way is either waited for, and ended below, or fails.
    const links = 'update login_links set used_at = $2 where principal = $1 and used_at is null';
    await ask(this.#pool, links, [principal, now]);
    const [row] = await ask(
      this.#pool,
      `with ended as (
         update logins set ended_at = $2 where principal = $1 and ended_at is null returning expires_at
       ), act as (
         insert into login_acts (principal, act, at, by, reason)
         select $1, 'logout', $2, $3, $4 where set_config('daypass.via', $5, true) is not null
       )
       select count(*) filter (where expires_at > $2) as logins from ended`,
      [principal, now, by, reason, via],
    );
    await this.#loggedOut(principal);
    return Number(row?.logins ?? 0);
  }

  /**
   * Ends what the directory says is over: the session that it names, or all of a person's where it names none, or did not
   * when they logged in.
   * @returns how many logins there were
   */
  async endNamed({ issuer, sub, sid }: LogoutNotice): Promise<number> {
    const rows = await ask(
      this.#pool,
      `with ended as (
         update logins set ended_at = $1
         where issuer = $2 and ended_at is null and ($3::text is null or id_token_sub = $3)
           and (sid = $4 or ($3 is not null and (sid is null or $4::text is null)))
         returning principal
       ), act as (
         insert into login_acts (principal, act, at, by, reason)
         select distinct principal, 'logout', $1, 'directory', 'the directory ended the session' from ended
         where set_config('daypass.via', 'system', true) is not null
       )
       select principal from ended`,
      [new Date(this.#clock.wall()), issuer, sub, sid],
    );
    for (const principal of new Set(rows.map((row) => String(row.principal)))) await this.#loggedOut(principal);
    return rows.length;
  }

  /** Throws away what nobody can use any more; acts stay. */
  async sweep(): Promise<void> {
    const now = this.#clock.wall();
    for (const table of ['login_links', 'logins', 'handovers', 'browser_sessions', 'tokens'])
      await ask(this.#pool, `delete from ${table} where expires_at < $1`, [new Date(now - KEPT)]);
    for (const table of ['oidc_flows', 'oidc_logouts', 'tool_codes'])
      await ask(this.#pool, `delete from ${table} where expires_at < $1`, [new Date(now)]);
  }
}

function sourceOf(value: unknown): LoginSource {
  return value === 'oidc' || value === 'passkey' ? value : 'link';
}
