import type pg from 'pg';
import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import { ask } from './ask.js';
import { digestOf, isSecret, newSecret } from './secret.js';

/** How long an authenticator's answer may take, milliseconds. */
export const CEREMONY_LASTS = 5 * 60_000;

/** What a challenge is for, and what it was begun with: SHA-256 of an invitation, or of a login. */
export type Purpose =
  | { readonly kind: 'invitation'; readonly invitation: Buffer }
  | { readonly kind: 'login' }
  | { readonly kind: 'addition'; readonly login: Buffer };

/** A challenge that was just made. */
export interface Challenge {
  /** For the authenticator, base64url. */
  readonly challenge: string;
  /** For the browser that begins, in a cookie: nobody else can finish. */
  readonly browser: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * Challenges of WebAuthn: each for one answer, within five minutes, from the browser that began. Every method throws
 * `DaypassError('ledger_unavailable')` when the ledger does not answer.
 */
export class Ceremonies {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;

  constructor(pool: pg.Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  async begin(purpose: Purpose): Promise<Challenge> {
    const [challenge, browser] = [newSecret(), newSecret()];
    const expiresAt = this.#clock.wall() + CEREMONY_LASTS;
    await ask(
      this.#pool,
      'insert into ceremonies (hash, challenge, kind, invitation, login, expires_at) values ($1, $2, $3, $4, $5, $6)',
      [
        ...[digestOf(browser), digestOf(challenge), purpose.kind],
        ...[purpose.kind === 'invitation' ? purpose.invitation : null],
        ...[purpose.kind === 'addition' ? purpose.login : null, new Date(expiresAt)],
      ],
    );
    return { challenge, browser, expiresAt };
  }

  /**
   * Uses a challenge up, whatever comes of it.
   * @param browser - what the browser was given
   * @returns SHA-256 of the challenge
   * @throws DaypassError `ceremony_over` for one that is used, too old, another browser's, or was begun for something else
   */
  async take(browser: string | null, purpose: Purpose): Promise<Buffer> {
    if (browser === null || !isSecret(browser)) throw over();
    const text =
      'delete from ceremonies where hash = $1 returning challenge, kind, invitation, login, expires_at > $2 as open';
    const [row] = await ask(this.#pool, text, [digestOf(browser), new Date(this.#clock.wall())]);
    if (row === undefined || row.open !== true || row.kind !== purpose.kind) throw over();
    if (purpose.kind === 'invitation' && !same(row.invitation, purpose.invitation)) throw over();
    if (purpose.kind === 'addition' && !same(row.login, purpose.login)) throw over();
    if (!Buffer.isBuffer(row.challenge)) throw over();
    return row.challenge;
  }

  /** Throws away what nobody finished. */
  async sweep(): Promise<void> {
    await ask(this.#pool, 'delete from ceremonies where expires_at < $1', [new Date(this.#clock.wall())]);
  }
}

/** Both are digests of secrets: how long the comparison takes tells nothing of use. */
function same(value: unknown, expected: Buffer): boolean {
  return Buffer.isBuffer(value) && value.equals(expected);
}

function over(): DaypassError {
  return new DaypassError(
    'ceremony_over',
    'This was not begun in this browser, took too long, or was answered already.',
    {
      hint: 'Try again; the browser must keep cookies.',
    },
  );
}
