import type pg from 'pg';
import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import type { GrantSource } from '../grant/grant.js';
import type { GrantView } from '../grant/record.js';
import { uuid7 } from '../recording/uuid7.js';
import { ask } from './ask.js';
import { type Login, MOST_BROWSERS } from './logins.js';
import { digestOf, isSecret, newSecret } from './secret.js';
import { unheld } from './unheld.js';

/** How long a code may be used, milliseconds: two redirects. */
const CODE_LASTS = 30_000;
/** How many of the newest grants are tried. */
const TRIED = 5;

/** What is asked of the grants. */
export interface GrantBook extends GrantSource {
  list(filter: { principal: string; service?: string; active: true }): Promise<readonly GrantView[]>;
}

export interface HandoverParts {
  readonly pool: pg.Pool;
  readonly grants: GrantBook;
  readonly clock: Clock;
}

/** A session at a service that was just given, or that the browser keeps. */
export interface Entered {
  readonly secret: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** What its code was made for. */
  readonly bind: Buffer;
  readonly principal: string;
  /** How many others had to end for it. */
  readonly ended: number;
}

/**
 * The way of a browser that is logged in at the gateway's host to a service's: a code that works once, in the browser that
 * asked for it. Every method throws `DaypassError('ledger_unavailable')` when the ledger does not answer.
 */
export class Handovers {
  readonly #parts: HandoverParts;

  constructor(parts: HandoverParts) {
    this.#parts = parts;
  }

  /** The services somebody has a grant for now, the newest grant first. */
  async servicesOf({ principal }: Login): Promise<readonly GrantView[]> {
    return this.#inForce(await this.#parts.grants.list({ principal, active: true }));
  }

  /**
   * Makes a code for the newest of the person's grants that lets them in.
   * @param bind - base64url of the SHA-256 of what the browser holds at the service's host
   * @param chosen - the id of a grant: where it is one of theirs that is in force, no other is taken
   * @returns null when there is no such grant
   * @throws DaypassError `store_unavailable` when that is not known
   */
  async begin(login: Login, service: string, bind: string, chosen: string | null = null): Promise<string | null> {
    const grantId = await this.#newestGrant(login.principal, service, chosen);
    if (grantId === null) return null;
    const code = newSecret();
    await ask(
      this.#parts.pool,
      'insert into handovers (hash, login, service, grant_id, bind, expires_at) values ($1, $2, $3, $4, $5, $6)',
      [
        ...[digestOf(code), login.hash, service, grantId, Buffer.from(bind, 'base64url')],
        new Date(this.#parts.clock.wall() + CODE_LASTS),
      ],
    );
    return code;
  }

  /**
   * Turns a code into a browser session, if its login still stands. A code is used up by whoever presents it. A session of the
   * same login and grant that the browser has is kept, since another tab may be amid an upload by it; any other that it has ends, and so do the
   * person's oldest at this service beyond `MOST_BROWSERS`.
   * @param binds - SHA-256 of what the browser holds, for each of its tabs that is on this way
   * @returns null for a code that is unknown, used, too old or another's
   */
  async enter(
    code: string,
    binds: readonly Buffer[],
    service: string,
    previous: string | null,
  ): Promise<Entered | null> {
    if (!isSecret(code)) return null;
    const now = this.#parts.clock.wall();
    const secret = newSecret();
    const [row] = await ask(
      this.#parts.pool,
      `with code as (
         update handovers set used_at = $2
         where hash = $1 and used_at is null and expires_at > $2
         returning login, grant_id, bind, service
       ), good as (
         select code.*, logins.principal, logins.expires_at
         from code join logins on logins.hash = code.login and logins.ended_at is null and logins.expires_at > $2
         where code.bind = any($3::bytea[]) and code.service = $4
       ), kept as (
         select b.expires_at from browser_sessions b join good on b.login = good.login and b.grant_id = good.grant_id
         where b.hash = $5 and b.service = $4 and b.ended_at is null and b.expires_at > $2
       ), old as (
         update browser_sessions set ended_at = $2
         where hash = $5 and service = $4 and ended_at is null and exists (select from good) and not exists (select from kept)
         returning hash
       ), beyond as (
         select b.hash from browser_sessions b join logins l on l.hash = b.login
         where l.principal = (select principal from good) and b.service = $4 and b.hash not in (select hash from old)
           and b.ended_at is null and l.ended_at is null and b.expires_at > $2 and not exists (select from kept)
         order by b.created_at desc, b.id desc offset $8
       ), oldest as (
         update browser_sessions set ended_at = $2 where hash in (${unheld('browser_sessions')}) returning id
       ), entered as (
         insert into browser_sessions (hash, id, login, service, grant_id, created_at, expires_at)
         select $6, $7, login, $4, grant_id, $2, expires_at from good where not exists (select from kept) returning expires_at
       )
       select given.expires_at, given.kept, good.bind, good.principal, (select count(*) from oldest)::int as ended
       from (select expires_at, false as kept from entered union all select expires_at, true from kept) given, good`,
      [
        ...[digestOf(code), new Date(now), binds, service, previous && digestOf(previous)],
        ...[digestOf(secret), uuid7(now), MOST_BROWSERS - 1],
      ],
    );
    if (row === undefined || !(row.expires_at instanceof Date) || !Buffer.isBuffer(row.bind)) return null;
    const { expires_at: expiresAt, bind, principal, ended } = row;
    const given = row.kept === true && previous !== null ? previous : secret;
    return { secret: given, expiresAt: expiresAt.getTime(), bind, principal: String(principal), ended: Number(ended) };
  }

  /**
   * What keeps somebody out of a service who has a grant for it: its hours, in words. Null when nothing of that kind does.
   */
  async hoursOf({ principal }: Login, service: string, chosen: string | null): Promise<string | null> {
    for (const { id } of await this.#newest(principal, service, chosen)) {
      const check = await this.#parts.grants.check(id);
      if (!check.ok && check.reason === 'outside_hours') return check.message;
    }
    return null;
  }

  /** The ledger proposes, the whole check decides: nobody is sent on with a grant that does not let them in. */
  async #newestGrant(principal: string, service: string, chosen: string | null): Promise<string | null> {
    let isKnown = true;
    for (const { id } of await this.#newest(principal, service, chosen)) {
      const check = await this.#parts.grants.check(id);
      if (check.ok) return id;
      if (check.reason === 'store_unavailable') isKnown = false;
    }
    if (isKnown) return null;
    throw new DaypassError('store_unavailable', 'Whether a grant lets somebody in could not be checked.');
  }

  async #newest(principal: string, service: string, chosen: string | null): Promise<readonly GrantView[]> {
    const listed = this.#inForce(await this.#parts.grants.list({ principal, service, active: true }));
    const one = listed.filter(({ id }) => id === chosen);
    return one.length > 0 ? one : listed.slice(0, TRIED);
  }

  #inForce(listed: readonly GrantView[]): readonly GrantView[] {
    return listed.filter(({ state }) => state === 'active');
  }
}
