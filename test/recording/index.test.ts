import t from 'tap';
import { IndexWriter } from '../../src/recording/index.js';
import { IndexCheck } from '../../src/recording/index-check.js';
import { rebuildIndex } from '../../src/recording/rebuild.js';
import { summarise } from '../../src/recording/summary.js';
import { verifyAll } from '../../src/recording/verify-database.js';
import { act, close, freshLedger, open, quiet, record, safe, sessionRow, startRecorder, until } from './fixture.js';

const ALL = `select sum(actions)::int as actions, sum(denied)::int as denied, sum(rows)::int as rows, min(first_seq)::int as first,
  max(last_seq)::int as last, sum(last_seq - first_seq + 1)::int as events from block_index`;

t.test('committed events become searchable behind the recording, and a rebuild says the same', async (t) => {
  const { pool } = await freshLedger(t);
  const index = new IndexWriter({ pool, log: quiet, stretch: 20 });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  const log = await record(recorder, 5);
  await index.close();
  const expected = [{ actions: 5, denied: 1, rows: 15, first: 1, last: 12, events: 12 }];
  t.same((await pool.query(ALL)).rows, expected);
  t.same((await verifyAll(pool)).findings, []);
  await pool.query(`update sessions set ended_at = ended_at - interval '1 minute'`);
  await pool.query('truncate block_index');
  t.match(await rebuildIndex(pool), { sessions: 1, unreadable: [] });
  t.same((await pool.query(ALL)).rows, expected);
  await rebuildIndex(pool, { session: log.row.id });
  t.same((await pool.query(ALL)).rows, expected, 'a second rebuild changes nothing');
  const { rows } = await pool.query(`select reasons, verbs, targets from block_index where denied > 0`);
  t.same(rows, [{ reasons: ['out_of_scope'], verbs: ['select'], targets: ['public.orders'] }]);
});

t.test('an index that says something else than the record is found, since close-outs count by it', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  await record(recorder, 4);
  await pool.query(`update gateways set seen_at = now() - interval '1 minute'`); // what it wrote is settled
  for (const change of [
    'denied = 0',
    'actions = actions - 1',
    'rows = 0',
    'bytes_out = bytes_out + 1',
    'first_seq = first_seq + 20, last_seq = last_seq + 20',
  ]) {
    await rebuildIndex(pool);
    t.same((await verifyAll(pool)).findings, []);
    await pool.query(`update block_index set ${change}`);
    t.match((await verifyAll(pool)).findings, [{ fault: 'index_changed', message: /^the row of the index/ }], change);
  }
});

t.test('a row of the index that stands for other events is found, though both count the same', async (t) => {
  const none = { actions: 0, denied: 0, rows: 0, bytesIn: 0, bytesOut: 0 };
  const wrong = (...stretches: readonly (readonly [first: number, last: number])[]) => {
    const check = new IndexCheck(
      's',
      stretches.map(([first, last]) => ({ ...none, first, last })),
    );
    for (let seq = 1; seq <= 4; seq += 1) check.event({ seq, at: 0, kind: 'open', facts: {}, payload: null });
    return check.end(4);
  };
  t.equal(wrong([1, 2], [3, 4]), null);
  t.match(wrong([2, 2], [2, 4]), { first: 2, why: /other events/ });
  t.match(wrong([1, 2], [4, 5]), { first: 4, why: /other events/ }, 'of which some are not there');
  t.equal(wrong([2, 2]), null, 'what does not cover all of it is not relied on');
});

t.test('of an event that could not be recorded the index says what the record does', async (t) => {
  const { database, pool } = await freshLedger(t);
  const index = new IndexWriter({ pool, log: quiet, stretch: 20 });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  const log = open(recorder);
  act(log, 'one', 'deny');
  await safe(log);
  log.onStall = () => close(log, 'recorder_stalled');
  log.append('action', {
    get verb(): string {
      throw new Error('boom');
    },
  });
  await until(database, 'exists (select from daypass.sessions where ended_at is not null)');
  await index.close();
  t.same((await verifyAll(pool)).findings, []);
});

t.test('a rebuild of a live session leaves its gateway what the gateway has not written yet', async (t) => {
  const { pool } = await freshLedger(t);
  const index = new IndexWriter({ pool, log: quiet, stretch: 60_000 });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  const log = open(recorder);
  act(log, 'one');
  await safe(log);
  await index.flush();
  act(log, 'two');
  await safe(log);
  await rebuildIndex(pool);
  await index.close();
  t.same((await pool.query(ALL)).rows, [{ actions: 2, denied: 0, rows: 0, first: 1, last: 3, events: 3 }]);
});

t.test('an index that cannot be written holds nothing up and is written later', async (t) => {
  const { database, pool } = await freshLedger(t);
  const index = new IndexWriter({ pool, log: quiet, stretch: 10 });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  await database.query('alter table daypass.block_index rename to hidden');
  const log = open(recorder);
  act(log, 'one');
  await safe(log);
  await index.flush();
  t.equal(index.rebuildDue, true, 'a row that is refused is remembered');
  await database.query('alter table daypass.hidden rename to block_index');
  close(log);
  await safe(log);
  await pool.query(`update sessions set ended_at = ended_at - interval '1 minute'`);
  await index.flush();
  await index.repair();
  t.equal(index.rebuildDue, false);
  await until(database, 'select sum(actions) = 1 from daypass.block_index');
});

t.test('too many sessions for the memory allowed drop rows, and a rebuild is remembered', async (t) => {
  const { pool } = await freshLedger(t);
  const index = new IndexWriter({ pool, log: quiet, stretch: 60_000, mostBytes: 1 });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  await record(recorder, 1);
  t.equal(index.rebuildDue, false);
  await record(recorder, 1);
  t.equal(index.rebuildDue, true);
  await pool.query(`update sessions set ended_at = ended_at - interval '1 minute'`);
  await index.flush();
  await index.repair();
  t.equal(index.rebuildDue, false);
  t.match((await pool.query(ALL)).rows, [{ actions: 2, events: 8 }]);
  await index.close();
});

t.test('what Postgres does not take as text, and handles, never reach the index', async (t) => {
  const { pool } = await freshLedger(t);
  const index = new IndexWriter({ pool, log: quiet, stretch: 60_000 });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  const handle = `dp_0123456789abcdefghijkl_${'S'.repeat(43)}`;
  const log = open(recorder);
  log.append(
    'action',
    { verb: `a\0b`, on: [`\ud800x`, handle, 'y'.repeat(9_000)] },
    { text: `${'é'.repeat(5_000)}\0${handle}` },
  );
  log.append('action', { verb: 'x' }, { text: handle });
  await safe(log);
  await index.close();
  t.equal(index.rebuildDue, false);
  const { rows } = await pool.query('select verbs, targets, text, octet_length(text) as size from block_index');
  t.same(rows[0].verbs, ['ab', 'x']);
  t.equal(rows[0].targets[0], '\ufffdx');
  t.ok(rows[0].size <= 8 * 1024);
  t.notMatch(JSON.stringify(rows), /SSSSS/);
});

t.test('a summary of many events stays small', async (t) => {
  const { id } = sessionRow();
  const events = Array.from({ length: 5_000 }, (_, n) => ({
    seq: n + 1,
    at: n,
    kind: 'action' as const,
    facts: { verb: `v${n}`, on: [`t${n}`] },
    payload: { text: `text ${n} ${'z'.repeat(100)}` },
  }));
  const row = summarise(id, events);
  t.equal(row?.actions, 5_000);
  t.equal(row?.targets.length, 256);
  t.ok(Buffer.byteLength(row?.text ?? '') <= 8 * 1024);
});
