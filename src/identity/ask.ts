import type pg from 'pg';
import { DaypassError, messageOf } from '../errors.js';

/** How long the ledger may take for one answer, milliseconds. */
const WITHIN = 1_000;

export type Row = Readonly<Record<string, unknown>>;

/** `pg` takes a limit per query; its types do not say so. */
interface TimedQuery extends pg.QueryConfig {
  readonly query_timeout: number;
}

/**
 * One question to the ledger.
 * @throws DaypassError `ledger_unavailable`
 */
export async function ask(pool: pg.Pool, text: string, values: readonly unknown[]): Promise<readonly Row[]> {
  const query: TimedQuery = { text, values: [...values], query_timeout: WITHIN };
  try {
    const { rows } = await pool.query<Row>(query);
    return rows;
  } catch (cause) {
    throw new DaypassError('ledger_unavailable', `The ledger did not answer: ${messageOf(cause)}`, { cause });
  }
}
