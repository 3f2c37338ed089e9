import { type JWTPayload, jwtVerify } from 'jose';
import type pg from 'pg';
import type { Clock } from '../clock.js';
import { ask } from './ask.js';
import type { DirectoryLogin, LogoutNotice } from './logins.js';
import { isOutage, type Known, reasonOf, SIGNATURES } from './provider.js';

/** How old a logout token may be, and how far ahead of our clock, milliseconds. */
const FRESH = 120_000;
const AHEAD = 30_000;
/** How long it is remembered that one came: as long as it, or a login begun before it, could still be used. Milliseconds. */
const REMEMBERED = 86_400_000;
/** OpenID Connect Back-Channel Logout 1.0 section 2.4. */
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

/** A logout token that counts, or why it does not. */
export type ReadNotice =
  | { readonly ok: true; readonly notice: LogoutNotice; readonly jti: string }
  | { readonly ok: false; readonly why: string };

/**
 * Validates a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6), all but whether its `jti` came before.
 * @param now - milliseconds since the epoch
 * @throws whatever kept the provider's keys from being read
 */
export async function readLogoutToken(token: string, known: Known, clientId: string, now: number): Promise<ReadNotice> {
  const { issuer } = known.configuration.serverMetadata();
  try {
    const { payload, protectedHeader } = await jwtVerify(token, known.keys, {
      ...{ issuer, audience: clientId, algorithms: [...SIGNATURES], currentDate: new Date(now) },
      ...{ clockTolerance: AHEAD / 1_000, requiredClaims: ['iss', 'aud', 'iat', 'jti', 'events'] },
    });
    const type = protectedHeader.typ?.toLowerCase().replace(/^application\//, '');
    if (type !== undefined && type !== 'logout+jwt' && type !== 'jwt')
      return { ok: false, why: 'it is another kind of token' };
    return judge(payload, issuer, now);
  } catch (thrown) {
    if (isOutage(thrown)) throw thrown;
    return { ok: false, why: reasonOf(thrown) };
  }
}

function judge({ iat, jti, sub, sid, events, ...rest }: JWTPayload, issuer: string, now: number): ReadNotice {
  const refuse = (why: string): ReadNotice => ({ ok: false, why });
  const age = now - (typeof iat === 'number' ? iat * 1_000 : Number.NaN);
  if (!(age <= FRESH && age >= -AHEAD)) return refuse('it is not fresh');
  if (typeof jti !== 'string' || jti === '' || jti.length > 500) return refuse('it has no jti');
  if ('nonce' in rest) return refuse('it has a nonce');
  if (!isEvent(events)) return refuse('it is no back-channel logout');
  if (!isName(sub) || !isName(sid) || (sub ?? sid) === undefined)
    return refuse('it names neither a person nor a session');
  return { ok: true, jti, notice: { issuer, sub: sub ?? null, sid: sid ?? null } };
}

function isEvent(events: unknown): boolean {
  if (typeof events !== 'object' || events === null || !(EVENT in events)) return false;
  return typeof events[EVENT] === 'object' && events[EVENT] !== null;
}

function isName(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === 'string' && value !== '' && value.length <= 500);
}

/** The logout tokens that came, in the ledger of all gateways. */
export class Logouts {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;

  constructor(pool: pg.Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** @returns whether there is something to do: it did not come before, or what it names could not be ended then */
  async remember({ issuer, sub, sid }: LogoutNotice, jti: string): Promise<boolean> {
    const now = this.#clock.wall();
    const rows = await ask(
      this.#pool,
      `insert into oidc_logouts (issuer, jti, sub, sid, at, expires_at) values ($1, $2, $3, $4, $5, $6)
       on conflict (issuer, jti) do update set jti = excluded.jti where oidc_logouts.done_at is null returning jti`,
      [issuer, jti, sub, sid, new Date(now), new Date(now + REMEMBERED)],
    );
    return rows.length > 0;
  }

  /** What it names has ended. */
  async done({ issuer }: LogoutNotice, jti: string): Promise<void> {
    const values = [issuer, jti, new Date(this.#clock.wall())];
    await ask(this.#pool, 'update oidc_logouts set done_at = $3 where issuer = $1 and jti = $2', values);
  }

  /**
   * Whether the directory ended a session while its login was under way here: asked once the login stands, so that either
   * the logout finds it or this finds the logout.
   * @param since - when the login began, milliseconds since the epoch
   */
  async came({ issuer, sub, sid }: DirectoryLogin, since: number): Promise<boolean> {
    const rows = await ask(
      this.#pool,
      `select from oidc_logouts
       where issuer = $1 and (sid = $3 or (sub = $2 and (sid is null or $3::text is null) and at >= $4)) limit 1`,
      [issuer, sub, sid, new Date(since)],
    );
    return rows.length > 0;
  }
}
