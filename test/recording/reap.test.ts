import { randomUUID } from 'node:crypto';
import t from 'tap';
import { systemClock } from '../../src/clock.js';
import { readEvents } from '../../src/recording/blocks.js';
import { Presence } from '../../src/recording/gateways.js';
import { reapSessions } from '../../src/recording/reap.js';
import { verifyAll } from '../../src/recording/verify-database.js';
import { act, freshLedger, open, quiet, record, safe, startRecorder } from './fixture.js';

const DIE = `update gateways set seen_at = now() - interval '46 seconds' where id = $1`;

t.test(
  'sessions of a gateway that is gone are closed as interrupted, once, by whichever gateway comes first',
  async (t) => {
    const { pool } = await freshLedger(t);
    const { recorder, gatewayId } = await startRecorder(t, pool);
    const logs = Array.from({ length: 250 }, () => open(recorder));
    await Promise.all(logs.map(safe));
    await record(recorder, 1);
    t.same(await reapSessions(pool, 'x', Date.now()), [], 'a living gateway keeps its sessions');
    await pool.query(DIE, [gatewayId]);
    const [one, two] = await Promise.all([
      reapSessions(pool, 'one', Date.now()),
      reapSessions(pool, 'two', Date.now()),
    ]);
    t.same([...one, ...two].sort(), logs.map(({ row }) => row.id).sort());
    t.same(await reapSessions(pool, 'three', Date.now()), []);
    const { rows } = await pool.query('select end_reason, count(*)::int as n from sessions group by 1 order by 1');
    t.same(rows, [
      { end_reason: 'client_left', n: 1 },
      { end_reason: 'interrupted', n: 250 },
    ]);
    t.same((await verifyAll(pool)).findings, []);
    const kinds: string[] = [];
    for await (const { kind } of readEvents(pool, logs[0]!.row.id)) kinds.push(kind);
    t.same(kinds, ['open', 'gap', 'close']);
  },
);

t.test('a session whose row stands without a block, or whose gateway row is gone, is closed too', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  await pool.query('delete from blocks');
  await pool.query('delete from gateways where id = $1', [gatewayId]);
  t.same(await reapSessions(pool, 'x', Date.now()), [log.row.id]);
});

t.test('a living gateway beats, reaps at its start, and indexes what the dead one had not', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  act(log, 'select secret_thing');
  await safe(log);
  await pool.query(DIE, [gatewayId]);
  const me = randomUUID();
  const presence = new Presence({ pool, gatewayId: me, clock: systemClock, log: quiet });
  await presence.start();
  await presence.stop();
  const { rows } = await pool.query('select end_reason from sessions');
  t.same(rows, [{ end_reason: 'interrupted' }]);
  const index = await pool.query(
    `select sum(actions)::int as actions from block_index where text like '%secret_thing%'`,
  );
  t.same(index.rows, [{ actions: 1 }]);
  const gateways = await pool.query('select id from gateways where id = $1', [me]);
  t.same(gateways.rows, [], 'an orderly end signs off');
});
