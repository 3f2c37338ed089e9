import type pg from 'pg';
import { SCHEMA } from './database.js';
import { inTransaction } from './transaction.js';

const LOCK = 0x6470_7061;

/** How long the default partition may be waited for, milliseconds: a backup reads it for hours, and verifications wait behind whoever waits. */
const LOCK_WAIT = 2_000;

/**
 * Why a month has none yet (PostgreSQL, appendix A): its rows lie in the default partition already (`check_violation`), or somebody has a
 * lock on that (`lock_not_available`).
 */
const NOT_NOW = new Set<unknown>(['23514', '55P03']);

/**
 * Makes the partitions of `blocks` for the month of `now` and the next one (UTC). A month whose rows already lie in the
 * default partition stays there. Safe to run again, and by several gateways at once; while a backup reads the tables
 * nothing is made, and nobody who records waits.
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
  if (await stands(pool, month)) return true;
  if (await isHeldByDefault(pool, month)) return false;
  return inTransaction(pool, (client) => attach(client, month)).then(
    () => true,
    (error) => {
      if (error instanceof Error && 'code' in error && NOT_NOW.has(error.code)) return false;
      throw error;
    },
  );
}

/** Asked before, time and again: whoever attaches finds it out by a look at all rows there, to which nobody may add meanwhile. */
async function isHeldByDefault(pool: pg.Pool, { from, to }: Month): Promise<boolean> {
  const { rows } = await pool.query(
    `select exists (select from ${SCHEMA}.blocks_default where session_id >= $1 and session_id < $2) as held`,
    [from, to],
  );
  return rows[0]?.held === true;
}

/** Made apart and then attached: `partition of` would lock `blocks` against whoever records, for as long as it waits for the default partition. */
async function attach(client: pg.PoolClient, month: Month): Promise<void> {
  const { name, from, to } = month;
  await client.query(`set local lock_timeout = ${LOCK_WAIT}`);
  await client.query('select pg_advisory_xact_lock($1)', [LOCK]);
  if (await stands(client, month)) return;
  await client.query(`create table ${SCHEMA}.${name} (like ${SCHEMA}.blocks including all)`);
  await client.query(
    `alter table ${SCHEMA}.blocks attach partition ${SCHEMA}.${name} for values from ('${from}') to ('${to}')`,
  );
}

/** Read as a row: a name that was looked up in vain may be remembered so until the transaction is over. */
async function stands(database: pg.Pool | pg.PoolClient, { name }: Month): Promise<boolean> {
  const { rows } = await database.query(
    'select exists (select from pg_class where relname = $1 and relnamespace = $2::regnamespace) as stands',
    [name, SCHEMA],
  );
  return rows[0]?.stands === true;
}
