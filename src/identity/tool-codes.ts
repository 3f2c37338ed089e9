import type pg from 'pg';
import type { Clock } from '../clock.js';
import { ask } from './ask.js';
import { digestOf, isSecret, newSecret } from './secret.js';
import type { NewToken, Tokens } from './tokens.js';

/** How long a code may be used, milliseconds: one redirect on one machine. */
const CODE_LASTS = 60_000;
/** RFC 7636 section 4.1. */
const VERIFIER = /^[A-Za-z0-9._~-]{43,128}$/;

/** What a command line asks for. */
export interface ToolRequest {
  /** Base64url of the SHA-256 of its verifier (RFC 7636, S256). */
  readonly challenge: string;
  readonly client: string;
}

/** Codes that carry a browser's yes to a command line on the same machine (RFC 8252). */
export class ToolCodes {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;
  readonly #tokens: Tokens;

  constructor(pool: pg.Pool, clock: Clock, tokens: Tokens) {
    this.#pool = pool;
    this.#clock = clock;
    this.#tokens = tokens;
  }

  /** @param login - hash of the login's secret */
  async begin(login: Buffer, { challenge, client }: ToolRequest): Promise<string> {
    const code = newSecret();
    await ask(
      this.#pool,
      'insert into tool_codes (hash, login, challenge, client, expires_at) values ($1, $2, $3, $4, $5)',
      [
        ...[digestOf(code), login, Buffer.from(challenge, 'base64url'), client],
        new Date(this.#clock.wall() + CODE_LASTS),
      ],
    );
    return code;
  }

  /**
   * Turns a code into a token. It is used up by whoever presents it, with the right verifier or not.
   * @returns null for a code that is unknown, used, too old, another's, or of a login that is over
   */
  async exchange(code: string, verifier: string): Promise<NewToken | null> {
    if (!isSecret(code) || !VERIFIER.test(verifier)) return null;
    const [row] = await ask(
      this.#pool,
      `update tool_codes set used_at = $2 where hash = $1 and used_at is null and expires_at > $2
       returning login, challenge, client`,
      [digestOf(code), new Date(this.#clock.wall())],
    );
    if (!Buffer.isBuffer(row?.login) || !Buffer.isBuffer(row.challenge)) return null;
    if (!row.challenge.equals(digestOf(verifier))) return null;
    return this.#tokens.create(row.login, String(row.client));
  }
}
