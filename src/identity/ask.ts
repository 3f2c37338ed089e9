import type pg from 'pg';
import { DaypassError } from '../errors.js';
import { ledgerUnavailable } from '../recording/faults.js';
import { timed } from '../recording/timed.js';
import { inTransaction } from '../recording/transaction.js';

/** How long the ledger may take for one answer, milliseconds. */
const WITHIN = 1_000;

export type Row = Readonly<Record<string, unknown>>;

/**
 * One question to the ledger, or to a transaction of it.
 * @throws DaypassError `ledger_unavailable`
 */
export async function ask(
  ledger: pg.Pool | pg.PoolClient,
  text: string,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  try {
    const { rows } = await ledger.query<Row>(timed(WITHIN, text, values));
    return rows;
  } catch (cause) {
    throw ledgerUnavailable(cause);
  }
}

/**
 * Some questions in one transaction. Whatever the work throws takes all of it back.
 * @throws DaypassError `ledger_unavailable` when the ledger does not answer, and what the work throws
 */
export async function askWithin<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  try {
    return await inTransaction(pool, work);
  } catch (cause) {
    if (cause instanceof DaypassError) throw cause;
    throw ledgerUnavailable(cause);
  }
}
