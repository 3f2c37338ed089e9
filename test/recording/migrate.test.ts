import t, { type Test } from 'tap';
import { openDatabase } from '../../src/recording/database.js';
import { ensurePartitions, migrate } from '../../src/recording/migrate.js';
import { type Database, freshDatabase } from '../support/postgres.js';
import { until } from './fixture.js';

/** What is locked by whoever migrates. */
const MIGRATES = 0x6470_6d69;

async function pool(test: Test, database: Database) {
  const opened = openDatabase(database.url, { max: 2, applicationName: 'migrate-test' });
  test.teardown(() => opened.end());
  return opened;
}

t.test('two gateways that start at once both find the schema made, and once only', async (t) => {
  const database = await freshDatabase(t);
  const [one, two] = [await pool(t, database), await pool(t, database)];
  await Promise.all([migrate(one), migrate(two)]);
  await migrate(one);
  const versions = await database.query('select version from daypass.schema_version order by version');
  t.same(new Set(versions.map((row) => row.version)).size, versions.length);
  const { rows } = await one.query('select count(*)::int as n from grants');
  t.same(rows, [{ n: 0 }], 'the search path leads to the schema');
});

t.test('the server waits for a lock no longer than anybody does here, but for the schema', async (t) => {
  const database = await freshDatabase(t);
  const opened = await pool(t, database);
  t.same((await opened.query('show lock_timeout')).rows, [{ lock_timeout: '10s' }]);
  const sooner = openDatabase(database.url, { locksWithin: 2_000 });
  t.teardown(() => sooner.end());
  t.same((await sooner.query('show lock_timeout')).rows, [{ lock_timeout: '2s' }]);
  const hasty = openDatabase(`${database.url}?options=${encodeURIComponent('-c lock_timeout=50')}`, {
    locksWithin: 2_000,
  });
  t.teardown(() => hasty.end());
  const other = await database.client();
  await other.query('begin');
  await other.query('select pg_advisory_xact_lock($1)', [MIGRATES]);
  const waits = `exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`;
  const migrated = migrate(hasty);
  await until(database, waits);
  await t.rejects(hasty.query('select pg_advisory_lock($1)', [MIGRATES]), { code: '55P03' }, 'it would be over');
  await other.query('commit');
  await migrated;
});

t.test('a connection commits to disk before it says so, whatever the server or the URL prefers', async (t) => {
  const database = await freshDatabase(t);
  const opened = openDatabase(`${database.url}?options=${encodeURIComponent('-c statement_timeout=7777')}`);
  t.teardown(() => opened.end());
  const { rows } = await opened.query(
    `select current_setting('synchronous_commit') as c, current_setting('search_path') as s, current_setting('statement_timeout') as o`,
  );
  t.same(rows, [{ c: 'on', s: 'daypass', o: '7777ms' }]);
});

t.test('a schema newer than this code is refused', async (t) => {
  const database = await freshDatabase(t);
  const opened = await pool(t, database);
  await migrate(opened);
  await database.query(`insert into daypass.schema_version (version, name) values (9999, 'from the future')`);
  await t.rejects(migrate(opened), { code: 'schema_newer', message: /9999/ });
});

t.test('a migration that fails leaves nothing behind', async (t) => {
  const database = await freshDatabase(t);
  await database.query('create schema daypass; create table daypass.sessions (id int)');
  const opened = await pool(t, database);
  await t.rejects(migrate(opened), { code: 'migration_failed' });
  t.same(await database.query(`select to_regclass('daypass.grants') as grants`), [{ grants: null }]);
});

/** Reads tables as a backup does: until it has ended nobody else may change them. */
async function backup(database: Database, ...tables: readonly string[]) {
  const client = await database.client();
  await client.query('begin');
  for (const table of tables) await client.query(`select from daypass.${table} limit 1`);
  return client;
}

/** The schema before the last migrations, one of which changes a table. */
const UNDONE = `
  drop table daypass.session_ends, daypass.reviews;
  alter table daypass.block_index drop column rules;
  delete from daypass.schema_version where version >= 16`;

t.test('a table that is read for long is not waited for, since everybody would wait behind', async (t) => {
  const database = await freshDatabase(t);
  const opened = await pool(t, database);
  await migrate(opened);
  await database.query(UNDONE);
  const reader = await backup(database, 'block_index');
  await t.rejects(migrate(opened), { code: 'tables_in_use', hint: /pg_dump/ });
  t.same(await database.query('select max(version) as at from daypass.schema_version'), [{ at: '15' }]);
  await reader.query('commit');
  await migrate(opened);
});

t.test('while a backup reads the blocks no partition is made, and nobody who records waits', async (t) => {
  const database = await freshDatabase(t);
  const opened = await pool(t, database);
  await migrate(opened);
  const now = Date.UTC(2026, 10, 5);
  const made = await ensurePartitions(opened, now);
  const reader = await backup(database, 'blocks', 'blocks_default');
  const making = ensurePartitions(opened, Date.UTC(2026, 11, 5));
  const waits = `exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`;
  await until(database, waits);
  const recorder = await database.client();
  await recorder.query(
    `set lock_timeout = 500; insert into daypass.blocks values ('${uuidAt(now)}', 1, 1, now(), now(), '', '', '', 1)`,
  );
  t.same(await making, [made[1]], 'that of the month itself stood before');
  await reader.query('commit');
  t.same(await ensurePartitions(opened, Date.UTC(2026, 11, 5)), ['blocks_2026_12', 'blocks_2027_01']);
});

t.test('a database that does not answer is a fault with a code', async (t) => {
  const opened = openDatabase('postgres://nobody@127.0.0.1:1/none');
  t.teardown(() => opened.end());
  await t.rejects(migrate(opened), { code: 'migration_failed' });
});

t.test('partitions are made for this month and the next, by any number of gateways, again and again', async (t) => {
  const database = await freshDatabase(t);
  const [one, two] = [await pool(t, database), await pool(t, database)];
  await migrate(one);
  const now = Date.UTC(2026, 11, 31, 23, 59);
  const expected = ['blocks_2026_12', 'blocks_2027_01'];
  t.same(await Promise.all([ensurePartitions(one, now), ensurePartitions(two, now)]), [expected, expected]);
  t.same(await ensurePartitions(one, now), expected);
});

t.test('a session of the month lies in the partition of the month, to the last millisecond', async (t) => {
  const database = await freshDatabase(t);
  const opened = await pool(t, database);
  await migrate(opened);
  await ensurePartitions(opened, Date.UTC(2026, 10, 5));
  await block(database, uuidAt(Date.UTC(2026, 10, 1)));
  await block(database, uuidAt(Date.UTC(2026, 11, 1) - 1));
  await block(database, uuidAt(Date.UTC(2026, 11, 1)));
  const rows = await database.query('select tableoid::regclass::text as of from daypass.blocks order by session_id');
  t.same(
    rows.map((row) => row.of),
    ['daypass.blocks_2026_11', 'daypass.blocks_2026_11', 'daypass.blocks_2026_12'],
  );
});

t.test('a month whose rows already lie in the default partition stays there', async (t) => {
  const database = await freshDatabase(t);
  const opened = await pool(t, database);
  await migrate(opened);
  const now = Date.UTC(2026, 10, 5);
  await block(database, uuidAt(now));
  t.same(await ensurePartitions(opened, now), ['blocks_2026_12']);
  await database.query(
    `create function public.refused() returns event_trigger language plpgsql as 'begin raise exception ''tried''; end'`,
  );
  await database.query('create event trigger refused on ddl_command_start execute function public.refused()');
  t.same(
    await ensurePartitions(opened, now),
    ['blocks_2026_12'],
    'which is seen without a lock on what is recorded there',
  );
});

function uuidAt(milliseconds: number): string {
  const hex = milliseconds.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7fff-bfff-ffffffffffff`;
}

async function block(database: Database, session: string): Promise<void> {
  await database.query(`insert into daypass.blocks values ($1, 1, 1, now(), now(), '', '', '', 1)`, [session]);
}
