import type { Pool } from 'pg';
import t from 'tap';
import { packBlock } from '../../src/recording/block.js';
import { readEvents } from '../../src/recording/blocks.js';
import { genesis } from '../../src/recording/chain.js';
import { openDatabase } from '../../src/recording/database.js';
import type { RecordedEvent } from '../../src/recording/event.js';
import type { SessionLog } from '../../src/recording/log.js';
import { migrate } from '../../src/recording/migrate.js';
import type { Recorder } from '../../src/recording/recorder.js';
import { verifySession } from '../../src/recording/verify-database.js';
import { writeBatch } from '../../src/recording/writer.js';
import { type Database, freshDatabase, startPostgres } from '../support/postgres.js';
import { waitUntil } from '../support/wait.js';
import {
  act,
  close,
  commitsGoOn,
  commitsWait,
  freshLedger,
  open,
  quiet,
  reapElsewhere,
  record,
  safe,
  sessionRow,
  startRecorder,
  until,
} from './fixture.js';

const WAITS = `exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
  and application_name = 'recorder-under-test' and query like '%insert into blocks%')`;

async function eventsOf(pool: Pool, session: string): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for await (const event of readEvents(pool, session)) events.push(event);
  return events;
}

/** Has the recorder stand amid the commit of a new log. @returns the log, and what has that go on, and resolves when it is safe */
async function amidCommit(database: Database, recorder: Recorder) {
  const holder = await database.client();
  await holder.query('begin; lock table daypass.blocks in access exclusive mode');
  const log = open(recorder); // not before: it is written within a moment
  const first = safe(log);
  await until(database, WAITS);
  const goOn = async () => {
    await holder.query('commit');
    await first;
  };
  return { log, goOn };
}

t.test('nothing that waits for the record goes on before Postgres has committed it', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const holder = await database.client();
  await holder.query('begin; lock table daypass.blocks in access exclusive mode');
  const log = open(recorder);
  act(log, 'select 1');
  let passed = false;
  const done = safe(log).then(() => {
    passed = true;
  });
  await until(database, WAITS);
  t.equal(passed, false, 'the insert waits for its commit, and so does the action');
  await holder.query('commit');
  await done;
  t.same(
    (await eventsOf(pool, log.row.id)).map(({ kind }) => kind),
    ['open', 'action'],
  );
});

t.test('a batch gives way to cuts that are late, and not for ever', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  let turns = 0;
  const turn = setInterval(() => (turns += 1), 1);
  t.teardown(() => clearInterval(turn));
  const log = open(recorder);
  const asked = new Set<number>();
  let late = true;
  recorder.pressed = () => {
    asked.add(turns);
    late &&= asked.size <= 3;
    if (late) t.equal(log.committedSeq, 0, 'nothing is written while something is late');
    return late;
  };
  await safe(log);
  t.equal(late, false, 'it is written as soon as nothing is');
  t.ok(asked.size > 3, 'and others have had their turn in between');
  recorder.pressed = () => true;
  await safe(open(recorder));
  t.pass('though cuts go on being late');
});

t.test('what becomes due during a commit shares the next one', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const { goOn } = await amidCommit(database, recorder);
  const rest = Array.from({ length: 30 }, () => safe(open(recorder)));
  await Promise.all([goOn(), ...rest]);
  const { rows } = await pool.query(
    'select count(*)::int as blocks, count(distinct xmin::text)::int as commits from blocks',
  );
  t.same(rows, [{ blocks: 31, commits: 2 }]);
});

t.test('a server that crashes and comes back loses nothing and doubles nothing', async (t) => {
  const server = await startPostgres(t);
  const { pool } = await freshLedger(t, server);
  const { recorder } = await startRecorder(t, pool, { stallAfter: 60_000 });
  const log = open(recorder);
  await safe(log);
  await server.crash();
  const waits = Array.from({ length: 5 }, (_, n) => {
    act(log, `select ${n}`);
    return safe(log);
  });
  const other = open(recorder);
  await waitUntil('a write has failed', () => !recorder.healthy);
  t.equal(await recorder.drain(300), false);
  t.equal(recorder.healthy, false);
  await server.restart();
  await Promise.all([...waits, safe(other)]);
  t.equal(recorder.healthy, true);
  t.same(
    (await eventsOf(pool, log.row.id)).map(({ seq }) => seq),
    [1, 2, 3, 4, 5, 6],
  );
  t.same((await verifySession(pool, log.row.id)).findings, []);
});

t.test('what a crash left standing is committed once the synchronous standby has it, and not before', async (t) => {
  const server = await startPostgres(t);
  const { database, pool } = await freshLedger(t, server);
  const { recorder } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  const waits = `exists (select from pg_stat_activity where application_name = 'recorder-under-test' and wait_event = 'SyncRep')`;
  await commitsWait(database);
  act(log, 'select 1');
  let passed = false;
  const done = safe(log).then(() => {
    passed = true;
  });
  await until(database, waits);
  await server.crash();
  await server.restart();
  const isWaited = async () =>
    (await database.query<{ waits: boolean }>(`select ${waits} as waits`))[0]?.waits === true;
  await waitUntil('the standby is waited for, or nobody is', async () => passed || (await isWaited()));
  t.same(await database.query('select first_seq::int from daypass.blocks'), [{ first_seq: 1 }, { first_seq: 2 }]);
  t.equal(passed, false);
  await commitsGoOn(database);
  await done;
  t.same((await verifySession(pool, log.row.id)).findings, []);
});

t.test('what comes, and an end that comes, while a large block is packed is of the next', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const log = open(recorder, { mode: 'buffered' });
  const text = `select '${'x'.repeat(300)}'`;
  for (let n = 0; n < 900; n += 1) act(log, text);
  const written = recorder.drain(60_000);
  // The first piece is packed behind this turn; the others while this goes on.
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  act(log, 'select 1');
  close(log);
  t.ok(await written);
  t.same((await verifySession(pool, log.row.id)).findings, []);
  const { rows } = await pool.query(
    `select s.last_seq::int, (select array_agg(b.last_seq::int order by b.last_seq) from blocks b where b.session_id = s.id)
       as ends, s.end_reason from sessions s where s.id = $1`,
    [log.row.id],
  );
  t.same(rows, [{ last_seq: 903, ends: [901, 903], end_reason: 'client_left' }]);
});

/** Some of what takes several blocks: 500 bytes an event, roughly. */
const MUCH = `select '${'x'.repeat(300)}'`;

t.test('who has much to write has it written in several commits, and others have theirs in between', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const { log: much, goOn } = await amidCommit(database, recorder);
  for (let n = 0; n < 6_000; n += 1) act(much, MUCH);
  const half: boolean[] = [];
  much.whenSafe(() => half.push(true));
  close(much);
  const little = open(recorder);
  const done = safe(little);
  await Promise.all([goOn(), done]);
  t.ok(much.committedSeq < 3_000, `${much.committedSeq} of 6000 before`);
  t.same(half, []);
  const end = 'select ended_at from sessions where id = $1';
  t.same(
    (await pool.query(end, [much.row.id])).rows,
    [{ ended_at: null }],
    'its end is not said before the last of it',
  );
  t.ok(await recorder.drain(20_000));
  t.same(half, [true]);
  t.equal(recorder.queuedBytes, 0);
  t.same((await verifySession(pool, much.row.id)).findings, []);
  const { rows } = await pool.query(
    `select s.last_seq::int, s.end_reason, (select count(*)::int from blocks b where b.session_id = s.id) as blocks
     from sessions s where s.id = $1`,
    [much.row.id],
  );
  t.match(rows, [{ last_seq: 6_002, end_reason: 'client_left' }]);
  t.ok(rows[0].blocks >= 6, `${rows[0].blocks} blocks`);
  t.same(
    (await eventsOf(pool, much.row.id)).map(({ seq }) => seq),
    Array.from({ length: 6_002 }, (_, at) => at + 1),
  );
});

t.test('of many who have much to write a commit takes some, and of who has little all', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const { goOn } = await amidCommit(database, recorder);
  const all = Array.from({ length: 12 }, () => open(recorder, { mode: 'buffered' }));
  for (const log of all) for (let n = 0; n < 1_200; n += 1) act(log, MUCH);
  const done = safe(open(recorder));
  await Promise.all([goOn(), done]);
  t.ok(all.filter(({ committedSeq }) => committedSeq > 0).length <= 4, 'who has little is not behind them all');
  t.ok(await recorder.drain(20_000));
  const { rows } = await pool.query(
    'select sum(last_seq - first_seq + 1)::int as events from blocks group by xmin::text order by 1 desc limit 1',
  );
  t.ok(rows[0].events < 7_000, `${rows[0].events} events`);
  for (const log of all) t.same((await verifySession(pool, log.row.id)).findings, []);
});

/**
 * Has a session of each of these write so many events, and behind them somebody else a hundred.
 * @returns of how many of theirs something is in the ledger when all of the other's is
 */
async function writtenInFront(database: Database, recorder: Recorder, people: readonly string[], events: number) {
  const { goOn } = await amidCommit(database, recorder);
  const theirs = people.map((principal) => open(recorder, { principal }));
  for (const log of theirs) for (let n = 0; n < events; n += 1) act(log, MUCH);
  const other = open(recorder);
  for (let n = 0; n < 100; n += 1) act(other, MUCH);
  const done = safe(other);
  await Promise.all([goOn(), done]);
  return { theirs, written: theirs.filter(({ committedSeq }) => committedSeq > 0).length };
}

t.test('a person with many sessions that have something to write stands in front of nobody else', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  for (const [sessions, events] of [
    [12, 1_200],
    [300, 1],
  ] as const) {
    const people = Array.from({ length: sessions }, () => 'mallory');
    const { theirs, written } = await writtenInFront(database, recorder, people, events);
    t.ok(written < Math.min(sessions, 128), `${written} of ${sessions} in front`);
    t.ok(await recorder.drain(20_000));
    t.equal(theirs.filter((log) => log.hasPending).length, 0, 'and all of theirs is written, too');
  }
});

t.test('many people with many sessions each stand in front of nobody else either', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  for (const [people, sessions, events] of [
    [8, 3, 1_200],
    [8, 32, 1],
  ] as const) {
    const names = Array.from({ length: people * sessions }, (_, n) => `p${n % people}`);
    const { theirs, written } = await writtenInFront(database, recorder, names, events);
    t.ok(written < Math.min(theirs.length - people, 128), `${written} of ${theirs.length} in front`);
    t.ok(await recorder.drain(20_000));
    for (const log of theirs) t.equal(log.hasPending, false);
  }
});

t.test(
  'who has much to write has a turn, also while others, and they themselves, have more at each commit',
  async (t) => {
    const { database, pool } = await freshLedger(t);
    const { recorder } = await startRecorder(t, pool);
    const { goOn } = await amidCommit(database, recorder);
    const others = Array.from({ length: 16 }, (_, n) => open(recorder, { principal: `p${n % 4}` }));
    for (const log of others) for (let n = 0; n < 2_400; n += 1) act(log, MUCH);
    const [often, much] = [open(recorder), open(recorder)];
    for (let n = 0; n < 100; n += 1) act(much, MUCH);
    let isOver = false;
    const acts = async () => {
      while (!isOver) {
        act(often, 'little');
        await safe(often);
      }
    };
    const acting = acts();
    await Promise.all([goOn(), safe(much)]);
    const unwritten = others.filter((log) => log.hasPending).length;
    isOver = true;
    await acting;
    t.equal(unwritten, others.length, 'before anybody else has written all');
    t.ok(await recorder.drain(20_000));
  },
);

t.test('much that goes on behind the block of another gateway is all there', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  t.same(await reapElsewhere(pool, gatewayId), [log.row.id]);
  log.onStall = () => close(log, 'recorder_stalled');
  for (let n = 0; n < 4_000; n += 1) act(log, MUCH);
  await safe(log);
  t.ok(await recorder.drain(20_000));
  t.equal(recorder.queuedBytes, 0);
  t.same((await verifySession(pool, log.row.id)).findings, []);
  const { rows } = await pool.query('select end_reason, last_seq from sessions');
  t.same(rows, [{ end_reason: 'recorder_stalled', last_seq: '4004' }]);
  const { rows: blocks } = await pool.query(
    'select max(last_seq - first_seq)::int < 3000 as "small" from blocks where first_seq > 3',
  );
  t.same(blocks, [{ small: true }], 'in several blocks, as ever');
});

t.test(
  'of much that cannot all be written what was committed stays, and a gap takes the place of the rest',
  async (t) => {
    const { pool } = await freshLedger(t);
    const { recorder } = await startRecorder(t, pool);
    const log = open(recorder);
    for (let n = 0; n < 2_500; n += 1) act(log, MUCH);
    log.append('action', {
      get verb(): string {
        throw new Error('boom');
      },
    });
    for (let n = 0; n < 2_500; n += 1) act(log, MUCH);
    let cut = 0;
    log.onStall = () => {
      cut += 1;
      close(log, 'recorder_stalled');
    };
    t.ok(await recorder.drain(20_000));
    t.equal(cut, 1);
    t.equal(recorder.queuedBytes, 0);
    const events = await eventsOf(pool, log.row.id);
    const actions = events.filter(({ kind }) => kind === 'action').length;
    t.ok(actions > 900 && actions <= 2_500, `${actions} actions`);
    t.match(events.at(-2), { kind: 'gap', facts: { about: 'not_recorded', events: 5_002 - 1 - actions } });
    t.equal(events.at(-1)?.kind, 'close');
    t.same((await verifySession(pool, log.row.id)).findings, []);
  },
);

t.test('a large block holds nothing else up while it is packed', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const log = open(recorder, { mode: 'buffered' });
  for (let n = 0; n < 2_000; n += 1) act(log, 'select '.padEnd(400, '1'));
  let turns = 0;
  const written = recorder.drain(60_000).then(() => turns);
  const turn = () => {
    turns += 1;
    if (log.committedSeq === 0) setImmediate(turn);
  };
  setImmediate(turn);
  t.ok((await written) > 20, 'the event loop came round between its pieces');
});

t.test('a session that waits too long for its record is cut', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool, { stallAfter: 150 });
  const holder = await database.client();
  const log = open(recorder);
  await safe(log);
  await holder.query('begin; lock table daypass.blocks in access exclusive mode');
  act(log, 'select 1');
  let passed = false;
  const stalled = new Promise<void>((resolve) => {
    log.onStall = resolve;
  });
  log.whenSafe(() => {
    passed = true;
  });
  await stalled;
  t.equal(passed, false);
  await holder.query('rollback');
  t.ok(await recorder.drain(5_000));
});

t.test('an event that cannot be stored cuts its own session, leaves a gap, and harms no other', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const bad = open(recorder);
  const good = open(recorder);
  await Promise.all([safe(bad), safe(good)]);
  let forwarded = false;
  bad.onStall = () => close(bad, 'recorder_stalled');
  bad.append('action', {
    get verb(): string {
      throw new Error('boom');
    },
  });
  bad.whenSafe(() => {
    forwarded = true;
  });
  act(good, 'select 1');
  await safe(good);
  t.ok(await recorder.drain(5_000));
  t.equal(forwarded, false);
  const events = await eventsOf(pool, bad.row.id);
  t.same(
    events.map(({ kind }) => kind),
    ['open', 'gap', 'close'],
  );
  t.match(events[1]?.facts, { about: 'not_recorded', events: 1, why: 'boom' });
  t.same((await verifySession(pool, bad.row.id)).findings, []);
});

t.test('a record whose very first events cannot be stored still begins as every record does', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const log = open(recorder);
  log.append('action', {
    get verb(): string {
      throw new Error('boom');
    },
  });
  log.onStall = () => close(log, 'recorder_stalled');
  const empty = recorder.open(sessionRow());
  empty.append('open', {
    get grant(): string {
      throw new Error('boom');
    },
  });
  empty.onStall = () => close(empty, 'recorder_stalled');
  t.ok(await recorder.drain(5_000));
  const kinds = async ({ row }: SessionLog) => (await eventsOf(pool, row.id)).map(({ kind }) => kind);
  t.same(await kinds(log), ['open', 'gap', 'close']);
  t.match((await eventsOf(pool, log.row.id))[1]?.facts, { about: 'not_recorded', events: 1, why: 'boom' });
  t.same((await verifySession(pool, log.row.id)).findings, []);
  t.same(await kinds(empty), ['gap', 'close'], 'where its beginning cannot be stored either, the gap is all there is');
});

t.test('what Postgres refuses for its content fails one session alone', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const bad = open(recorder);
  const good = open(recorder);
  await Promise.all([safe(bad), safe(good)]);
  await database.query(`
    create function refuse() returns trigger language plpgsql as $$ begin
      if new.session_id = '${bad.row.id}' then raise exception 'no' using errcode = '22000'; end if; return new; end $$;
    create trigger refuse before insert on daypass.blocks for each row execute function refuse()`);
  let cut = 0;
  let forwarded = false;
  bad.onStall = () => {
    cut += 1;
    close(bad, 'recorder_stalled');
  };
  act(bad, 'select 1');
  bad.whenSafe(() => {
    forwarded = true;
  });
  act(good, 'select 1');
  await safe(good);
  t.ok(await recorder.drain(5_000), 'the log that cannot even store its gap is given up, not tried for ever');
  t.ok(cut > 0);
  t.equal(forwarded, false);
  t.equal((await eventsOf(pool, good.row.id)).length, 2);
});

t.test('a session that another gateway took for lost goes on behind its block, and is cut', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder, gatewayId } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  t.same(await reapElsewhere(pool, gatewayId), [log.row.id]);
  log.onStall = () => close(log, 'recorder_stalled');
  const action = act(log, 'select 1');
  log.append('result', { of: action, status: '00000' });
  await safe(log);
  t.ok(await recorder.drain(5_000));
  const events = await eventsOf(pool, log.row.id);
  t.same(
    events.map(({ kind }) => kind),
    ['open', 'gap', 'close', 'action', 'result', 'close'],
  );
  t.equal(events[4]?.facts.of, 4, 'a result still names its action');
  t.same((await verifySession(pool, log.row.id)).findings, []);
  const { rows } = await pool.query('select end_reason, last_seq from sessions');
  t.same(rows, [{ end_reason: 'recorder_stalled', last_seq: '6' }]);
});

t.test('what waits for the record goes on in its order, also what one of them waits for next', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const log = open(recorder);
  const passed: string[] = [];
  log.whenSafe(() => {
    passed.push('first');
    log.whenSafe(() => passed.push('third'));
  });
  log.whenSafe(() => passed.push('second'));
  t.same(passed, []);
  t.ok(await recorder.drain(5_000));
  t.same(passed, ['first', 'second', 'third']);
});

t.test('nothing goes on behind a record that failed, though the buffer has room', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const log = open(recorder, { mode: 'buffered' });
  await safe(log);
  log.append('action', {
    get verb(): string {
      throw new Error('boom');
    },
  });
  const cut = new Promise<void>((resolve) => {
    log.onStall = resolve;
  });
  await cut;
  let passed = false;
  log.whenSafe(() => {
    passed = true;
  });
  t.ok(await recorder.drain(5_000));
  t.notOk(passed);
});

t.test('a buffered session goes on at once, until the buffer is full', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool, { bufferBytes: 10_000 });
  const holder = await database.client();
  await holder.query('begin; lock table daypass.blocks in access exclusive mode');
  const log = open(recorder, { mode: 'buffered' });
  let passed = 0;
  const count = () => {
    passed += 1;
  };
  log.whenSafe(count);
  t.equal(passed, 1);
  await until(database, WAITS);
  act(log, 'x'.repeat(20_000));
  log.whenSafe(count);
  t.equal(passed, 1, 'the buffer is full: it waits');
  await holder.query('commit');
  t.ok(await recorder.drain(5_000));
  t.equal(passed, 2);
});

t.test('a person whose buffered sessions record much waits alone: nobody has the whole buffer', async (t) => {
  const { database, pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool, { bufferBytes: 10_000 });
  const holder = await database.client();
  await holder.query('begin; lock table daypass.blocks in access exclusive mode');
  const [much, more] = [open(recorder, { mode: 'buffered' }), open(recorder, { mode: 'buffered' })];
  const little = open(recorder, { mode: 'buffered', principal: 'bob' });
  await until(database, WAITS);
  const passed: string[] = [];
  act(much, 'x'.repeat(3_000));
  much.whenSafe(() => passed.push('much'));
  more.whenSafe(() => passed.push('more'));
  act(little, 'x');
  little.whenSafe(() => passed.push('little'));
  t.same(passed, ['little']);
  await holder.query('commit');
  t.ok(await recorder.drain(5_000));
  t.same(passed.sort(), ['little', 'more', 'much']);
});

t.test(
  'whose strict sessions have much to write has that beyond their part, and nobody else has less room',
  async (t) => {
    const { database, pool } = await freshLedger(t);
    const { recorder } = await startRecorder(t, pool, { bufferBytes: 10_000 });
    const { goOn } = await amidCommit(database, recorder);
    const theirs = open(recorder);
    act(theirs, 'x'.repeat(20_000));
    t.equal(recorder.hasRoom('alice'), false);
    t.equal(recorder.hasRoom('bob'), true);
    const others = ['bob', 'carol', 'dave'].map((principal) => open(recorder, { principal, mode: 'buffered' }));
    for (const log of others) act(log, 'x'.repeat(3_000));
    t.equal(recorder.hasRoom('eve'), false, 'four have all of it');
    await goOn();
    t.ok(await recorder.drain(5_000));
    t.equal(recorder.queuedBytes, 0);
    t.equal(recorder.hasRoom('alice'), true);
  },
);

t.test(
  'a buffered session whose record is written goes on, though others have filled the buffer meanwhile',
  async (t) => {
    const { database, pool } = await freshLedger(t);
    const { recorder } = await startRecorder(t, pool, { bufferBytes: 10_000 });
    const holder = await database.client();
    await holder.query('begin; lock table daypass.blocks in access exclusive mode');
    const [log, other] = [open(recorder, { mode: 'buffered' }), open(recorder, { mode: 'buffered' })];
    act(log, 'x'.repeat(20_000));
    const passed = new Promise<number>((resolve) => log.whenSafe(() => resolve(recorder.queuedBytes)));
    await until(database, WAITS);
    act(other, 'x'.repeat(20_000));
    await holder.query('commit');
    t.ok((await passed) > 10_000);
    t.ok(await recorder.drain(5_000));
  },
);

t.test('a batch that is written twice stands once', async (t) => {
  const { pool } = await freshLedger(t);
  const row = sessionRow();
  const event: RecordedEvent = { seq: 1, at: Date.now(), kind: 'open', facts: {}, payload: null };
  const block = packBlock(row.id, genesis(row.id), [event]);
  const batch = { rows: [{ row, receipt: null, lastSeq: 1, lastHash: block.hashAfter }], blocks: [block] };
  const gateway = row.id;
  t.same(await writeBatch(pool, gateway, batch), new Set());
  t.same(await writeBatch(pool, gateway, batch), new Set());
  const other = packBlock(row.id, genesis(row.id), [{ ...event, kind: 'gap' }]);
  t.same(
    await writeBatch(pool, gateway, { rows: [], blocks: [other] }),
    new Set([row.id]),
    'another writer is noticed',
  );
  const { rows } = await pool.query('select count(*)::int as n from blocks');
  t.same(rows, [{ n: 1 }]);
});

t.test(
  'of a batch that is found standing one connection waits for the standby, however often it is written',
  async (t) => {
    const server = await startPostgres(t);
    const { database, pool } = await freshLedger(t, server);
    const row = sessionRow();
    const event = { seq: 1, at: 1, kind: 'gap' as const, facts: {}, payload: null };
    const batch = { rows: [], blocks: [packBlock(row.id, genesis(row.id), [event])] };
    const written = () => writeBatch(pool, row.id, batch);
    await written();
    await commitsWait(database);
    const tries = [written(), written(), written()];
    const waiting = (kind: string) =>
      `select count(*)::int from pg_stat_activity where application_name = 'recorder-under-test' and ${kind}`;
    await until(
      database,
      `(${waiting(`wait_event = 'SyncRep'`)}) = 1 and (${waiting(`wait_event_type = 'Lock'`)}) = 2`,
    );
    await commitsGoOn(database);
    for (const one of tries) t.same(await one, new Set());
  },
);

t.test('a handle is cut out of every event before it is stored, and out of the index', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const secret = 'S'.repeat(43);
  const log = open(recorder);
  const handle = `dp_0123456789abcdefghijkl_${secret}`;
  log.append('action', { verb: handle, on: [handle] }, { text: `select '${handle}'`, headers: [[handle]] });
  await safe(log);
  const stored = JSON.stringify(await eventsOf(pool, log.row.id));
  t.notMatch(stored, secret);
  t.match(stored, 'dp_0123456789abcdefghijkl_[redacted]');
});

t.test('a recorder that is closed does not wait for what it gave up', async (t) => {
  const database = await freshDatabase(t);
  const pool = openDatabase(database.url);
  t.teardown(() => pool.end());
  await migrate(pool);
  const { recorder } = await startRecorder(t, pool, { log: quiet });
  await record(recorder, 1);
  recorder.close();
  open(recorder);
  t.equal(await recorder.drain(60_000), false);
});
