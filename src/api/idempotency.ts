import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import { ask, type Row } from '../identity/ask.js';

/** How long an answer is kept, milliseconds. */
const KEPT = 86_400_000;
/** A structured field's string (RFC 8941 section 3.3.3), or the same without quotes. */
const KEY = /^(?:"([\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x5b\x5d-\x7e]{1,255}))$/;

/** What a key was sent with. */
export interface Asked {
  /** Whose key it is. */
  readonly actor: string;
  readonly key: string;
  /** Method and path. */
  readonly route: string;
  /** SHA-256 of the body. */
  readonly body: Buffer;
}

/** An answer that was given before. `text` is null when it held a secret. */
export interface Given {
  readonly status: number;
  readonly text: string | null;
}

/** @throws DaypassError `invalid_request` */
export function readKey(header: string | readonly string[]): string {
  const [, quoted, bare] = KEY.exec(typeof header === 'string' ? header : '') ?? [];
  const key = quoted ?? bare;
  if (key !== undefined) return key;
  throw new DaypassError('invalid_request', 'The Idempotency-Key is not 1 to 255 characters of printable ASCII.');
}

/**
 * Requests that are sent again by somebody who did not see the answer (draft-ietf-httpapi-idempotency-key-header): what was
 * asked is done once, and its answer told again. Every method throws `DaypassError('ledger_unavailable')`.
 */
export class Repeats {
  readonly #pool: Pool;
  readonly #clock: Clock;

  constructor(pool: Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /**
   * @returns null for the first: it is done now, and `keep` or `forget` has to follow; else what was answered to it
   * @throws DaypassError `key_used_differently`, `under_way`
   */
  async begin({ actor, key, route, body }: Asked): Promise<Given | null> {
    const now = this.#clock.wall();
    await ask(this.#pool, 'delete from idempotency where at < $1', [new Date(now - KEPT)]);
    const rows = await ask(
      this.#pool,
      `with first as (
         insert into idempotency (actor, key, route, asked, at) values ($1, $2, $3, $4, $5)
         on conflict (actor, key) do nothing returning key
       )
       select true as first, null as route, null as asked, null as status, null as answer from first
       union all select false, route, asked, status, answer from idempotency where actor = $1 and key = $2`,
      [actor, key, route, body, new Date(now)],
    );
    const [row] = rows;
    if (row?.first === true) return null;
    if (row === undefined) throw underWay(); // another's, and not committed when this one looked
    return answered(row, route, body);
  }

  /** Keeps the answer. @param text - null for one that holds a secret */
  async keep({ actor, key }: Asked, { status, text }: Given): Promise<void> {
    const set = 'update idempotency set status = $3, answer = $4 where actor = $1 and key = $2';
    await ask(this.#pool, set, [actor, key, status, text]);
  }

  /** Nothing was done: the key is free again. */
  async forget({ actor, key }: Asked): Promise<void> {
    await ask(this.#pool, 'delete from idempotency where actor = $1 and key = $2', [actor, key]);
  }
}

function answered(row: Row, route: string, body: Buffer): Given {
  const same = row.route === route && Buffer.isBuffer(row.asked) && row.asked.equals(body);
  if (!same) {
    throw new DaypassError('key_used_differently', 'This Idempotency-Key was sent with another request.', {
      hint: 'Use a new key for each thing that is to be done.',
    });
  }
  if (row.status === null) throw underWay();
  return { status: Number(row.status), text: row.answer === null ? null : String(row.answer) };
}

function underWay(): DaypassError {
  return new DaypassError('under_way', 'The first request with this Idempotency-Key is under way, or broke off.', {
    hint: 'Try again in a moment. If it stays so, look whether it was done, and use another key.',
  });
}
