import t from 'tap';
import { openDatabase, SCHEMA } from '../../src/recording/database.js';
import { examineConnection } from '../../src/recording/examine.js';
import { isOutage } from '../../src/recording/faults.js';
import { connected, startPostgres } from '../support/postgres.js';

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

t.test('a ledger whose name leads nowhere is not there to answer', async (t) => {
  const pool = openDatabase('postgres://daypass@ledger.invalid/daypass');
  t.teardown(() => pool.end());
  const thrown = await pool.query('select 1').catch((error: unknown) => error);
  t.ok(isOutage(thrown), String(thrown));
});
