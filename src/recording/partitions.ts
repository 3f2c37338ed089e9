import type pg from 'pg';
import { SCHEMA } from './database.js';
import { inTransaction } from './transaction.js';

const LOCK = 0x6470_7061;

/** PostgreSQL's `check_violation`: the default partition already holds rows of the month. */
const HELD_BY_DEFAULT = '23514';

/**
 * Makes the partitions of `blocks` for the month of `now` and the next one (UTC). A month whose rows already lie in the
 * default partition stays there. Safe to run again, and by several gateways at once.
 * @param now - milliseconds since the epoch
 * @returns the names of the partitions that stand afterwards
 */
export async function ensurePartitions(pool: pg.Pool, now: number): Promise<readonly string[]> {
  const standing: string[] = [];
  for (const offset of [0, 1]) {
    const month = monthOf(now, offset);
    if (await ensureMonth(pool, month)) standing.push(month.name);
  }
  return standing;
}

interface Month {
  readonly name: string;
  /** The lowest UUIDv7 of the month and of the month after: 48 bits of milliseconds lead (RFC 9562, section 5.7). */
  readonly from: string;
  readonly to: string;
}

function monthOf(now: number, offset: number): Month {
  const date = new Date(now);
  const start = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + offset);
  const first = new Date(start);
  const end = Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1);
  const number = String(first.getUTCMonth() + 1).padStart(2, '0');
  return { name: `blocks_${first.getUTCFullYear()}_${number}`, from: lowestUuid(start), to: lowestUuid(end) };
}

function lowestUuid(milliseconds: number): string {
  const hex = milliseconds.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

async function ensureMonth(pool: pg.Pool, month: Month): Promise<boolean> {
  const made = inTransaction(pool, async (client) => {
    // The new partition locks the default one: rather give up than hold back the recorder.
    await client.query(`set local lock_timeout = '5s'`);
    await client.query('select pg_advisory_xact_lock($1)', [LOCK]);
    await client.query(
      `create table if not exists ${SCHEMA}.${month.name} partition of ${SCHEMA}.blocks for values from ('${month.from}') to ('${month.to}')`,
    );
  });
  return made.then(
    () => true,
    (error) => {
      if (isHeldByDefault(error)) return false;
      throw error;
    },
  );
}

function isHeldByDefault(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === HELD_BY_DEFAULT;
}
