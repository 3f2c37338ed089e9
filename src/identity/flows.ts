import { createHmac } from 'node:crypto';
import type pg from 'pg';
import type { Clock } from '../clock.js';
import { ask } from './ask.js';
import { digestOf, isSecret, newSecret } from './secret.js';

/** How long a login may be under way at the provider, milliseconds. */
export const FLOW_LASTS = 10 * 60_000;

/** A login on its way to the provider. */
export interface Flow {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

/** A login that came back to the browser that began it. */
export interface Returned extends Flow {
  readonly target: string;
  /** Milliseconds since the epoch. */
  readonly begunAt: number;
}

/**
 * Logins under way at the provider, in the ledger of all gateways. Nonce and verifier are made of what only the browser
 * holds, so that whoever reads the ledger can finish none.
 */
export class Flows {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;

  constructor(pool: pg.Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** @param browser - the secret that this browser alone holds; @param target - where to go afterwards */
  async begin(issuer: string, browser: string, target: string): Promise<Flow> {
    const now = this.#clock.wall();
    const state = newSecret();
    await ask(
      this.#pool,
      'insert into oidc_flows (hash, browser, issuer, target, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)',
      [digestOf(state), digestOf(browser), issuer, target, new Date(now), new Date(now + FLOW_LASTS)],
    );
    return flowOf(state, browser);
  }

  /** Uses up a flow. @returns null for one that is unknown, used, too old, or another browser's, which stays as it is */
  async take(issuer: string, browser: string, state: string): Promise<Returned | null> {
    if (!isSecret(state) || !isSecret(browser)) return null;
    const [row] = await ask(
      this.#pool,
      `update oidc_flows set used_at = $4
       where hash = $1 and browser = $2 and issuer = $3 and used_at is null and expires_at > $4 returning target, created_at`,
      [digestOf(state), digestOf(browser), issuer, new Date(this.#clock.wall())],
    );
    if (!(row?.created_at instanceof Date)) return null;
    return { ...flowOf(state, browser), target: String(row.target), begunAt: row.created_at.getTime() };
  }
}

function flowOf(state: string, browser: string): Flow {
  const made = (what: string) => createHmac('sha256', browser).update(`${what} ${state}`).digest('base64url');
  return { state, nonce: made('nonce'), verifier: made('verifier') };
}
