import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { openDatabase, SCHEMA } from '../../src/recording/database.js';
import { examineConnection } from '../../src/recording/examine.js';
import { isOutage } from '../../src/recording/faults.js';
import { faultProxy } from '../support/fault-proxy.js';
import { connected, freshDatabase, startPostgres } from '../support/postgres.js';
import { tapProxy } from '../support/tap-proxy.js';
import { waitUntil } from '../support/wait.js';

t.test('a standby is not asked, since it may answer what is no longer true, until it is the primary', async (t) => {
  const server = await startPostgres(t, { files: { 'data/standby.signal': '' } });
  const pool = openDatabase(server.url());
  t.teardown(() => pool.end());
  const asked = () => pool.query('select 1 as n');
  await t.rejects(asked(), { code: 'database_read_only', message: /it is a standby/ });
  await t.rejects(pool.connect(), { code: 'database_read_only' });
  const operator = await connected(t, server.config());
  await operator.query('select pg_promote()');
  t.same((await asked()).rows, [{ n: 1 }]);
});

t.test('a connection whose settings a pooler dropped is not used: what it commits may not be on disk', async (t) => {
  const server = await startPostgres(t);
  const pooled = await connected(t, server.config());
  await t.rejects(examineConnection(pooled, SCHEMA), { code: 'database_pooled' });
  await pooled.query(`set search_path to ${SCHEMA}; set synchronous_commit to off`);
  await t.rejects(examineConnection(pooled, SCHEMA), { code: 'database_pooled' });
  await pooled.query('set synchronous_commit to on');
  await examineConnection(pooled, SCHEMA);
});

t.test('a connection that is refused was not given up amid something, however many there are', async (t) => {
  const server = await startPostgres(t, { files: { 'data/standby.signal': '' } });
  const tap = await tapProxy(t, '127.0.0.1', server.port);
  const pool = openDatabase({ ...server.config(), port: tap.port }, { max: 2 });
  t.teardown(() => pool.end());
  for (let n = 0; n < 3; n += 1) await t.rejects(pool.query('select 1'), { code: 'database_read_only' });
  const operator = await connected(t, server.config());
  await operator.query('select pg_promote()');
  await pool.query('select 1');
  t.notMatch(tap.seen().toString('latin1'), /pg_stat_activity/, 'nobody asks whether those are busy still');
});

t.test('a ledger whose name leads nowhere is not there to answer', async (t) => {
  const pool = openDatabase('postgres://daypass@ledger.invalid/daypass');
  t.teardown(() => pool.end());
  const thrown = await pool.query('select 1').catch((error: unknown) => error);
  t.ok(isOutage(thrown), String(thrown));
});

t.test('a connection whose taker gave up while it was examined has its place in the pool for the next', async (t) => {
  const { config } = await freshDatabase(t);
  const proxy = await faultProxy(t, config.port);
  const pool = openDatabase({ ...config, port: proxy.port }, { max: 1 });
  const first = await pool.connect();
  const waiting = pool.connect();
  // Its patience (2 s) ends sooner than that of what examines the connection made for it, which begins only now.
  await pause(1_000);
  first.release(true);
  const examined = () =>
    proxy
      .seen()
      .toString('latin1')
      .match(/pg_is_in_recovery/g)?.length === 2;
  await waitUntil('the next one is examined', examined, { every: 1 });
  await proxy.set({ kind: 'stop' });
  await t.rejects(waiting, /timeout/);
  await proxy.heal();
  const next = await pool.connect();
  t.same((await next.query('select 1 as n')).rows, [{ n: 1 }]);
  next.release();
  await pool.end();
});
