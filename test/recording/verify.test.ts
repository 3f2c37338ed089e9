import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Pool } from 'pg';
import t from 'tap';
import type { Fault } from '../../src/recording/verify.js';
import { verifyAll, verifySession } from '../../src/recording/verify-database.js';
import { freshLedger, open, record, safe, startRecorder } from './fixture.js';

interface Recorded {
  readonly pool: Pool;
  /** Nine events in six blocks: 1, 2–3, 4–5, 6–7, 8–9, 10. */
  readonly a: string;
  readonly b: string;
}

/** What somebody with the database's password does, and what `verify` must call it. */
interface Tampering {
  readonly name: string;
  readonly change: (recorded: Recorded) => Promise<unknown>;
  readonly expected: readonly { session: 'a' | 'b'; seq: number; fault: Fault }[];
}

const lines = (payload: Buffer) => inflateRawSync(payload).toString('utf8');

async function rewrite({ pool }: Recorded, session: string, firstSeq: number, change: (text: string) => string) {
  const { rows } = await pool.query<{ payload: Buffer }>(
    'select payload from blocks where session_id = $1 and first_seq = $2',
    [session, firstSeq],
  );
  const before = lines(rows[0]!.payload);
  const after = change(before);
  if (after === before) throw new Error('the tampering changed nothing');
  await pool.query('update blocks set payload = $3 where session_id = $1 and first_seq = $2', [
    session,
    firstSeq,
    deflateRawSync(after),
  ]);
}

const remove = (firstSeq: number) => (recorded: Recorded) =>
  recorded.pool.query('delete from blocks where session_id = $1 and first_seq = $2', [recorded.a, firstSeq]);

/** Exchanges one column of two blocks. */
async function exchange(
  { pool }: Recorded,
  column: string,
  one: readonly [string, number],
  two: readonly [string, number],
) {
  await pool.query(
    `with both_ as (select session_id, first_seq, ${column} as value from blocks where (session_id, first_seq) in (($1, $2), ($3, $4)))
     update blocks b set ${column} = o.value from both_ o
     where (b.session_id, b.first_seq) in (($1, $2), ($3, $4)) and (o.session_id, o.first_seq) <> (b.session_id, b.first_seq)`,
    [one[0], one[1], two[0], two[1]],
  );
}

const TAMPERINGS: readonly Tampering[] = [
  {
    name: 'the text of a statement is edited',
    change: (recorded) => rewrite(recorded, recorded.a, 4, (text) => text.replace('"select 2"', '"select 3"')),
    expected: [{ session: 'a', seq: 4, fault: 'payload_changed' }],
  },
  {
    name: 'a refusal is made an allowance',
    change: (recorded) => rewrite(recorded, recorded.a, 4, (text) => text.replace('"deny"', '"allow"')),
    expected: [{ session: 'a', seq: 4, fault: 'changed' }],
  },
  { name: 'the first block is deleted', change: remove(1), expected: [{ session: 'a', seq: 1, fault: 'missing' }] },
  { name: 'a middle block is deleted', change: remove(4), expected: [{ session: 'a', seq: 4, fault: 'missing' }] },
  { name: 'the last block is deleted', change: remove(10), expected: [{ session: 'a', seq: 10, fault: 'truncated' }] },
  {
    name: 'the end is deleted and the session row says so too',
    change: async (recorded) => {
      await remove(10)(recorded);
      await recorded.pool.query('update sessions set last_seq = 9 where id = $1', [recorded.a]);
    },
    expected: [{ session: 'a', seq: 9, fault: 'row_changed' }],
  },
  {
    name: 'every block is deleted',
    change: ({ pool, a }) => pool.query('delete from blocks where session_id = $1', [a]),
    expected: [{ session: 'a', seq: 1, fault: 'missing' }],
  },
  {
    name: 'events are cut off the end within a block',
    change: (recorded) => rewrite(recorded, recorded.a, 4, (text) => text.split('\n').slice(0, 2).join('\n')),
    expected: [
      { session: 'a', seq: 4, fault: 'changed' },
      { session: 'a', seq: 4, fault: 'misnumbered' },
    ],
  },
  {
    name: 'blocks of two sessions are exchanged',
    change: async (recorded) => {
      const { pool, a, b } = recorded;
      const spare = '00000000-0000-7000-8000-000000000000';
      const move = (from: string, to: string) =>
        pool.query('update blocks set session_id = $2 where session_id = $1 and first_seq = 4', [from, to]);
      await move(a, spare);
      await move(b, a);
      await move(spare, b);
    },
    expected: [
      { session: 'a', seq: 4, fault: 'not_continued' },
      { session: 'a', seq: 6, fault: 'not_continued' },
      { session: 'b', seq: 4, fault: 'not_continued' },
      { session: 'b', seq: 6, fault: 'not_continued' },
    ],
  },
  {
    name: 'payloads of two sessions are exchanged',
    change: async (recorded) => {
      await rewrite(recorded, recorded.b, 4, (text) => text.replace('"t":', '"t":1'));
      await exchange(recorded, 'payload', [recorded.a, 4], [recorded.b, 4]);
    },
    expected: [
      { session: 'a', seq: 4, fault: 'changed' },
      { session: 'a', seq: 4, fault: 'times_changed' },
      { session: 'b', seq: 4, fault: 'changed' },
      { session: 'b', seq: 4, fault: 'times_changed' },
    ],
  },
  {
    name: 'two blocks of a session change places',
    change: async ({ pool, a }) => {
      const renumber = (from: number, first: number) =>
        pool.query(
          'update blocks set first_seq = $3::bigint, last_seq = $3::bigint + 1 where session_id = $1 and first_seq = $2',
          [a, from, first],
        );
      await renumber(4, 400);
      await renumber(6, 4);
      await renumber(400, 6);
    },
    expected: [
      { session: 'a', seq: 4, fault: 'not_continued' },
      { session: 'a', seq: 4, fault: 'misnumbered' },
      { session: 'a', seq: 6, fault: 'not_continued' },
      { session: 'a', seq: 6, fault: 'misnumbered' },
      { session: 'a', seq: 8, fault: 'not_continued' },
    ],
  },
  {
    name: 'a block is added that repeats another',
    change: ({ pool, a }) =>
      pool.query(
        `insert into blocks select session_id, 5, last_seq, from_at, to_at, hash_before, hash_after, payload, format
         from blocks where session_id = $1 and first_seq = 4`,
        [a],
      ),
    expected: [
      { session: 'a', seq: 5, fault: 'duplicate' },
      { session: 'a', seq: 5, fault: 'misnumbered' },
    ],
  },
  {
    name: 'a chain value is overwritten',
    change: ({ pool, a }) =>
      pool.query(`update blocks set hash_after = '\\x00' where session_id = $1 and first_seq = 4`, [a]),
    expected: [
      { session: 'a', seq: 4, fault: 'changed' },
      { session: 'a', seq: 6, fault: 'not_continued' },
    ],
  },
  {
    name: 'a block is made unreadable',
    change: ({ pool, a }) =>
      pool.query(`update blocks set payload = '\\xff' where session_id = $1 and first_seq = 4`, [a]),
    expected: [{ session: 'a', seq: 4, fault: 'unreadable' }],
  },
  {
    name: 'the time of a block is moved',
    change: ({ pool, a }) =>
      pool.query(`update blocks set to_at = to_at - interval '1 day' where session_id = $1 and first_seq = 4`, [a]),
    expected: [{ session: 'a', seq: 4, fault: 'times_changed' }],
  },
  {
    name: "the session's person is exchanged",
    change: ({ pool, a }) => pool.query(`update sessions set principal = 'mallory' where id = $1`, [a]),
    expected: [{ session: 'a', seq: 1, fault: 'row_changed' }],
  },
  {
    name: 'the reason of the end is changed',
    change: ({ pool, a }) => pool.query(`update sessions set end_reason = 'expired' where id = $1`, [a]),
    expected: [{ session: 'a', seq: 10, fault: 'row_changed' }],
  },
  {
    name: 'when it was due, was cut and ended, and what passed after that, is changed',
    change: ({ pool, a }) =>
      pool.query(
        `update sessions set due_at = started_at, cut_at = started_at + interval '30 s', bytes_after_due = 123456,
           ended_at = ended_at + interval '30 s' where id = $1`,
        [a],
      ),
    expected: Array.from({ length: 4 }, () => ({ session: 'a', seq: 10, fault: 'row_changed' }) as const),
  },
  {
    name: 'times are moved to where there are none',
    change: async ({ pool, a }) => {
      await pool.query(`update blocks set from_at = 'infinity' where session_id = $1 and first_seq = 4`, [a]);
      await pool.query(
        `update sessions set started_at = '-infinity', ended_at = 'infinity', due_at = '290000-01-01' where id = $1`,
        [a],
      );
    },
    expected: [
      { session: 'a', seq: 1, fault: 'row_changed' },
      { session: 'a', seq: 4, fault: 'times_changed' },
      { session: 'a', seq: 10, fault: 'row_changed' },
      { session: 'a', seq: 10, fault: 'row_changed' },
    ],
  },
  {
    name: 'when it began is changed',
    change: ({ pool, a }) =>
      pool.query(`update sessions set started_at = started_at - interval '1 day' where id = $1`, [a]),
    expected: [{ session: 'a', seq: 1, fault: 'row_changed' }],
  },
  {
    name: 'its mode, its protocol and its gateway are changed',
    change: ({ pool, a }) =>
      pool.query(`update sessions set mode = 'buffered', protocol = 'http', gateway_id = id where id = $1`, [a]),
    expected: Array.from({ length: 3 }, () => ({ session: 'a', seq: 1, fault: 'row_changed' }) as const),
  },
  {
    name: 'a session that ended is said to go on',
    change: ({ pool, a }) =>
      pool.query(
        'update sessions set ended_at = null, end_reason = null, last_seq = null, last_hash = null where id = $1',
        [a],
      ),
    expected: [{ session: 'a', seq: 10, fault: 'row_changed' }],
  },
  {
    name: "the session's row is deleted",
    change: ({ pool, a }) => pool.query('delete from sessions where id = $1', [a]),
    expected: [{ session: 'a', seq: 1, fault: 'no_row' }],
  },
];

t.test('a record that nobody touched holds', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const one = await record(recorder, 40);
  await safe(open(recorder));
  t.match(await verifySession(pool, one.row.id), { sessions: 1, events: 82, findings: [], open: 0 });
  t.match(await verifyAll(pool), { sessions: 2, events: 83, findings: [], open: 1 });
  await t.rejects(verifySession(pool, '00000000-0000-7000-8000-000000000000'), { code: 'unknown_session' });
});

t.test('of more sessions than are read at a time each is looked at, however long it is', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const logs = await Promise.all(Array.from({ length: 450 }, (_, n) => record(recorder, n % 50 === 9 ? 20 : 1)));
  const ids = logs.map(({ row }) => row.id).sort();
  const [rowless, empty] = [ids[210] ?? '', ids[420] ?? ''];
  await pool.query('delete from sessions where id = $1', [rowless]);
  await pool.query('delete from blocks where session_id = $1', [empty]);
  const { sessions, findings } = await verifyAll(pool);
  t.equal(sessions, 450);
  t.match(findings, [
    { session: rowless, fault: 'no_row' },
    { session: empty, fault: 'missing' },
  ]);
});

t.test('a verification that nobody waits for any more ends', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  for (let n = 0; n < 3; n += 1) await record(recorder, 1);
  let looked = 0;
  const left = () => {
    if (looked === 2) throw new Error('left');
    looked += 1;
  };
  await t.rejects(verifyAll(pool, left), { message: 'left' });
});

t.test('each way to tamper with a record is named with its place', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  for (const { name, change, expected } of TAMPERINGS) {
    const recorded = { pool, a: (await record(recorder, 4)).row.id, b: (await record(recorder, 4)).row.id };
    await change(recorded);
    const { findings } = await verifyAll(pool);
    const found = findings.map(({ session, seq, fault }) => ({
      session: session === recorded.a ? 'a' : 'b',
      seq,
      fault,
    }));
    t.same(found, expected, name);
    const alone = await Promise.all([recorded.a, recorded.b].map((id) => verifySession(pool, id)));
    t.same(new Set(alone.flatMap((one) => one.findings)), new Set(findings), `${name}; each read by itself`);
    for (const { message } of findings) t.match(message, /\S/);
    await pool.query('truncate sessions, blocks');
  }
});
