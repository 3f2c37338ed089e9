import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import { readEvents } from '../../src/recording/blocks.js';
import { openDatabase } from '../../src/recording/database.js';
import { Presence } from '../../src/recording/gateways.js';
import { reapSessions } from '../../src/recording/reap.js';
import { verifyAll, verifySession } from '../../src/recording/verify-database.js';
import { faultProxy } from '../support/fault-proxy.js';
import { sharedPostgres } from '../support/postgres.js';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import { act, close, freshLedger, open, quiet, reapElsewhere, record, safe, startRecorder, until } from './fixture.js';

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

t.test(
  'a session that goes on behind the block of who took it for lost is open again, and closed if its gateway dies',
  async (t) => {
    const { pool } = await freshLedger(t);
    const { recorder, gatewayId } = await startRecorder(t, pool);
    const log = open(recorder);
    await safe(log);
    t.same(await reapElsewhere(pool, gatewayId), [log.row.id]);
    act(log, 'select 1');
    await safe(log);
    t.match(await verifyAll(pool), { events: 4, findings: [], open: 1 });
    recorder.close(); // it dies here
    t.same(await reapElsewhere(pool, gatewayId), [log.row.id]);
    t.match(await verifyAll(pool), { events: 6, findings: [], open: 0 });
    await pool.query(
      `update sessions set last_seq = 3, last_hash = (select hash_after from blocks where last_seq = 3)`,
    );
    t.match(
      (await verifyAll(pool)).findings,
      [{ seq: 6, fault: 'row_changed' }],
      'it ended with the last of its events',
    );
  },
);

t.test(
  'a row never names a block that was refused, also where the end itself comes behind that of another gateway',
  async (t) => {
    const { pool } = await freshLedger(t);
    const seen: unknown[] = [];
    const watched = watching(pool, async () => {
      const { rows } = await pool.query('select end_reason, last_seq from sessions');
      seen.push([rows[0]?.end_reason, rows[0]?.last_seq, (await verifyAll(pool)).findings]);
    });
    const { recorder, gatewayId } = await startRecorder(t, watched);
    const log = open(recorder);
    await safe(log);
    await reapElsewhere(pool, gatewayId);
    seen.length = 0;
    close(log);
    await recorder.drain(5_000);
    t.same(seen, [
      ['interrupted', '3', []],
      ['client_left', '4', []],
    ]);
  },
);

t.test('nor is anything wrong with one that ends while its record is verified', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  await reapElsewhere(pool, gatewayId);
  act(log, 'select 1');
  await safe(log);
  const other = await database.client();
  await other.query('begin; lock table daypass.blocks');
  const waiting = (n: number) =>
    until(
      database,
      `(select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock') = ${n}`,
    );
  close(log);
  await waiting(1);
  const verified = verifySession(pool, log.row.id); // has its row, and waits behind that for its blocks
  await waiting(2);
  await other.query('commit');
  t.same((await verified).findings, []);
});

t.test('one that is writing just now is not kept from it: who reaps gives way', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  const writing = await database.client();
  await writing.query('begin');
  await writing.query(
    `insert into daypass.blocks select session_id, 2, 2, from_at, to_at, hash_after, '', '', 1 from daypass.blocks`,
  );
  await t.rejects(reapElsewhere(pool, gatewayId), { code: '55P03' });
  await writing.query(`update daypass.sessions set end_reason = 'client_left'`);
  await writing.query('rollback');
  t.same(await reapElsewhere(pool, gatewayId), [log.row.id]);
});

t.test('a clock of the ledger that was set back keeps no dead gateway’s sessions open', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  await pool.query(`update gateways set seen_at = now() + interval '1 hour' where id = $1`, [gatewayId]);
  t.same(await reapSessions(pool, 'another', Date.now()), [log.row.id]);
});

t.test(
  'a clock of the ledger that was set between a sign of life and the search has nobody taken for lost',
  async (t) => {
    const { pool } = await freshLedger(t);
    const { recorder } = await startRecorder(t, pool);
    const log = open(recorder);
    await safe(log);
    const { gatewayId: me } = await startRecorder(t, pool);
    for (const ago of ['-1 hour', '1 hour']) {
      await pool.query('update gateways set seen_at = now() - $1::interval', [ago]);
      t.same(await reapSessions(pool, me, Date.now()), [], ago);
    }
    await pool.query('update gateways set seen_at = now() where id = $1', [me]);
    t.same(await reapSessions(pool, me, Date.now()), [log.row.id]);
  },
);

t.test('a gateway never reaps its own sessions, however old its last sign of life', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  await pool.query(DIE, [gatewayId]);
  t.same(await reapSessions(pool, gatewayId, Date.now()), []);
  await pool.query('delete from gateways where id = $1', [gatewayId]);
  t.same(await reapSessions(pool, gatewayId, Date.now()), [], 'nor when its row is gone');
  t.same(await reapSessions(pool, 'another', Date.now()), [log.row.id]);
});

t.test('a living gateway beats, reaps, and indexes what the dead one had not', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  act(log, 'select secret_thing');
  await safe(log);
  await pool.query(DIE, [gatewayId]);
  const me = randomUUID();
  const presence = new Presence({ pool, gatewayId: me, clock: systemClock, log: quiet });
  await presence.start();
  t.same(await presence.reap(), [log.row.id]);
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

t.test('what ended just before its gateway died is indexed too', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const { row } = await record(recorder, 2); // a recorder that nobody listens to: nothing of it is indexed
  const presence = new Presence({ pool, gatewayId: randomUUID(), clock: systemClock, log: quiet });
  await presence.start();
  t.teardown(() => presence.stop());
  const indexed = async () => {
    const { rows } = await pool.query('select sum(actions)::int as actions from block_index where session_id = $1', [
      row.id,
    ]);
    return rows[0].actions;
  };
  t.same(await presence.reap(), []);
  t.equal(await indexed(), null, 'a gateway that lives does it itself');
  await pool.query(DIE, [gatewayId]);
  t.same(await presence.reap(), []);
  t.equal(await indexed(), 2);
  await pool.query('delete from block_index');
  t.same(await presence.reap(), []);
  t.equal(await indexed(), null, 'once for each dead gateway');
});

t.test('what ended before its gateway died is indexed days later, too, whatever else cannot be', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const logs = [await record(recorder, 1), await record(recorder, 1)];
  const [broken, whole] = logs.map(({ row }) => row.id).sort();
  await pool.query(`alter table block_index add check (session_id <> '${broken}')`);
  for (const column of ['started_at', 'ended_at'])
    await pool.query(`update sessions set ${column} = ${column} - interval '3 days'`);
  await pool.query(`update gateways set seen_at = now() - interval '3 days' where id = $1`, [gatewayId]);
  const indexed = 'select distinct session_id as id from block_index';
  const presence = new Presence({ pool, gatewayId: randomUUID(), clock: systemClock, log: quiet, beatEvery: 100 });
  await presence.start();
  t.teardown(() => presence.stop());
  await waitUntil('it is forgotten', async () => {
    const { rows } = await pool.query('select from gateways where id = $1', [gatewayId]);
    return rows.length === 0;
  });
  t.same((await pool.query(indexed)).rows, [{ id: whole }]);
});

/** A pool that has somebody look after each write of the recorder. */
function watching(pool: pg.Pool, look: () => Promise<void>): pg.Pool {
  const query = async (...asked: [pg.QueryConfig]) => {
    const answer = await pool.query(...asked);
    if (asked[0].name?.startsWith('daypass-')) await look();
    return answer;
  };
  return { query } as unknown as pg.Pool;
}

/** A beat of these tests, milliseconds; a gateway is lost after four and a half. */
const BEAT = 400;
const UNSEEN = 4.5 * BEAT;

/** A gateway of this process with one idle session, that reaches its ledger at `url`. */
async function gatewayAt(t: Test, url: string) {
  const pool = openDatabase(url, { max: 3, answerWithin: 2 * BEAT });
  t.teardown(() => pool.end());
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  const presence = new Presence({ pool, gatewayId, clock: systemClock, log: quiet, beatEvery: BEAT });
  const startedAt = Date.now();
  await presence.start();
  return { presence, gatewayId, session: log.row.id, startedAt };
}

// What follows waits more than it works: side by side.
t.jobs = 3;
const waiting = { buffered: true };

for (const fault of ['half-open', 'refuse'] as const) {
  t.test(
    `after an outage of the ledger (${fault}) no living gateway's session is taken for lost`,
    waiting,
    async (t) => {
      // A gateway that serves is held by its listeners. Here there are none, and neither the timers of Presence nor pg-pool's limit
      // for a free connection hold a process, so that one which waits for them in an outage could end in the middle of it.
      const awake = setInterval(() => {}, 1_000);
      t.teardown(() => clearInterval(awake));
      const { database, pool } = await freshLedger(t);
      const { port } = await sharedPostgres();
      const proxy = await faultProxy(t, port);
      const url = database.url.replace(`:${port}/`, `:${proxy.port}/`);
      const gateways = await Promise.all([gatewayAt(t, url), gatewayAt(t, url)]);
      await pause(UNSEEN + BEAT); // both have been answered for long enough to reap
      await proxy.set({ kind: fault });
      await pause(UNSEEN + 2 * BEAT);
      await proxy.heal();
      for (const { gatewayId } of gateways)
        await until(database, "select seen_at > now() - interval '0.3 seconds' from daypass.gateways where id = $1", [
          gatewayId,
        ]);
      await pause(UNSEEN + BEAT); // and again
      // A beat that waited for a core is late as one that waited for the ledger; the next is not.
      await waitUntil('both are answered', () => gateways.every(({ presence }) => presence.answers));
      const { rows } = await pool.query('select id, end_reason from sessions where ended_at is not null');
      t.same(rows, [], 'both sessions stay open');
      for (const { presence } of gateways) await presence.stop();
    },
  );
}

const ENOUGH = 'a gateway takes nobody for lost before the ledger has answered it for long enough; then it does';
t.test(ENOUGH, waiting, async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  await pool.query(DIE, [gatewayId]);
  const starved = starvation();
  const living = await gatewayAt(t, database.url);
  await until(database, 'select end_reason = $2 from daypass.sessions where id = $1', [log.row.id, 'interrupted']);
  const after = Date.now() - living.startedAt;
  t.ok(after >= UNSEEN, `not early: ${after} ms after its start`);
  t.ok(after <= UNSEEN + 10 * BEAT + starved(), `not late: ${after} ms after its start`);
  t.match((await pool.query('select ended_at from sessions where id = $1', [living.session])).rows, [
    { ended_at: null },
  ]);
  await living.presence.stop();
});
