import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import Postgrator from 'postgrator';
import { DaypassError, messageOf } from '../errors.js';
import { SCHEMA } from './database.js';
import { rolledBack } from './transaction.js';

export { ensurePartitions } from './partitions.js';

/** Any number of its own: every gateway that migrates takes this advisory lock first. */
const LOCK = 0x6470_6d69;

/**
 * How long a table may be waited for, milliseconds. Whatever the gateways of before ask of it waits behind this one, and they cut who cannot be
 * recorded for five seconds; a backup would have them wait for hours.
 */
const TABLE_WAIT = 2_000;

/** PostgreSQL's `lock_not_available`. */
const IN_USE = '55P03';

/** `glob` reads these as patterns; a checkout's path may hold them. */
const MIGRATIONS = fileURLToPath(new URL('./migrations/', import.meta.url)).replace(/[\\?*()[\]{}!+@]/g, '\\$&');

/**
 * Brings the schema to this code's version, in one transaction: a crash leaves the version before.
 * Gateways that start at the same time wait for each other.
 * @throws DaypassError `schema_newer` when a newer gateway has migrated already, `tables_in_use` while somebody reads what is to be
 *   changed, `migration_failed` otherwise
 */
export async function migrate(pool: pg.Pool): Promise<void> {
  const client = await pool.connect().catch(failed);
  let broken = true;
  try {
    await client.query('begin');
    await client.query('set local lock_timeout = 0'); // for as long as another takes for it
    await client.query('select pg_advisory_xact_lock($1)', [LOCK]);
    await client.query(`set local lock_timeout = ${TABLE_WAIT}`);
    await createSchema(client);
    await run(client);
    await client.query('commit');
    broken = false;
  } catch (error) {
    broken = !(await rolledBack(client));
    failed(error);
  } finally {
    client.release(broken);
  }
}

/** `create schema if not exists` needs the right to create even when the schema stands: ask first. */
async function createSchema(client: pg.PoolClient): Promise<void> {
  const { rows } = await client.query('select to_regnamespace($1) is not null as stands', [SCHEMA]);
  if (rows[0]?.stands !== true) await client.query(`create schema ${SCHEMA}`);
  await client.query(`set local search_path to ${SCHEMA}`);
}

async function run(client: pg.PoolClient): Promise<void> {
  const migrator = new Postgrator({
    driver: 'pg',
    schemaTable: `${SCHEMA}.schema_version`,
    migrationPattern: `${MIGRATIONS}*.sql`,
    newline: 'LF',
    execQuery: (query) => client.query(query),
  });
  const known = (await migrator.getMigrations()).reduce((max, migration) => Math.max(max, migration.version), 0);
  if (known === 0) throw new DaypassError('migration_failed', 'The migrations are missing from this installation.');
  const found = await migrator.getDatabaseVersion();
  if (found > known) {
    throw new DaypassError('schema_newer', `The database is at schema ${found}; this gateway knows up to ${known}.`, {
      hint: 'Start the newer version of Daypass, or point this one at another database.',
    });
  }
  await migrator.migrate();
}

function failed(error: unknown): never {
  if (error instanceof DaypassError) throw error;
  if (error instanceof Error && 'code' in error && error.code === IN_USE) {
    throw new DaypassError('tables_in_use', 'The tables of the database are to be changed, and somebody uses them.', {
      hint: 'Start it again when the backup (pg_dump), or whatever transaction stays open there, is over: select * from pg_stat_activity.',
      cause: error,
    });
  }
  throw new DaypassError('migration_failed', `The database could not be prepared: ${messageOf(error)}`, {
    cause: error,
  });
}
