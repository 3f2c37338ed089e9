import t from 'tap';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/recording/database.js';
import { timed } from '../../src/recording/timed.js';
import { freshDatabase, startPostgres } from '../support/postgres.js';
import { commitsGoOn, commitsWait, until } from './fixture.js';

const MOST = 2;
const WAITING = `select count(*)::int as n from pg_stat_activity where application_name = 'hasty' and wait_event = 'SyncRep'`;

t.test(
  'who asks again while commits wait for the standby leaves as many connections as the pool may have',
  async (t) => {
    const database = await freshDatabase(t, await startPostgres(t));
    await database.query('create table public.visits (n int)');
    const lines: Record<string, unknown>[] = [];
    const log = createLog('info', (line) => lines.push(JSON.parse(line)));
    const pool = openDatabase(database.url, { max: MOST, applicationName: 'hasty', log });
    t.teardown(() => pool.end());
    const write = (within: number) => pool.query(timed(within, 'insert into public.visits values (1)'));
    await commitsWait(database);
    for (let n = 0; n < 4 * MOST; n += 1) await t.rejects(write(100));
    t.same(await database.query(WAITING), [{ n: MOST }]);
    t.match(lines, [{ level: 50, connections: MOST, msg: /^the ledger is busy with what was given up/ }], 'said once');
    const asked = Array.from({ length: 4 * MOST }, () => pool.query('select count(*)::int as n from public.visits'));
    for (const { rows } of await Promise.all(asked)) t.same(rows, [{ n: 0 }], 'what only reads is answered');
    await commitsGoOn(database);
    await until(database, `(${WAITING}) = 0`);
    for (let n = 0; n < 4 * MOST; n += 1) await write(5_000);
    t.same((await pool.query('select count(*)::int as n from public.visits')).rows, [{ n: 5 * MOST }]);
    t.match(lines.at(-1), { level: 30, msg: 'the ledger is done with what was given up' });
  },
);

t.test('who asks again for what is locked does not leave more either', async (t) => {
  const database = await freshDatabase(t);
  await database.query('create table public.visits (n int)');
  const pool = openDatabase(database.url, { max: MOST, applicationName: 'patient' });
  t.teardown(() => pool.end());
  const other = await database.client();
  await other.query('begin; lock table public.visits in share mode');
  for (let n = 0; n < 4 * MOST; n += 1) await t.rejects(pool.query(timed(300, 'insert into public.visits values (1)')));
  const waiting = `select count(*)::int as n from pg_stat_activity where application_name = 'patient' and wait_event_type = 'Lock'`;
  t.same(await database.query(waiting), [{ n: MOST }]);
  await other.query('commit');
  await until(database, `(${waiting}) = 0`);
  await pool.query('insert into public.visits values (1)');
});

t.test('what only reads is not gone on with when nobody waits for it any more', async (t) => {
  const database = await freshDatabase(t);
  const pool = openDatabase(database.url, { max: MOST, applicationName: 'curious', answerWithin: 300 });
  t.teardown(() => pool.end());
  const search = 'select count(*) from generate_series(1, 100000) where pg_sleep(0.01) is not null';
  for (let n = 0; n < 2 * MOST; n += 1) await t.rejects(pool.query(search));
  await until(database, `(select count(*) from pg_stat_activity where application_name = 'curious') = 0`);
});
