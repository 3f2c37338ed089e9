import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { OpenBlock, packBlock, unpackBlock } from '../../src/recording/block.js';
import { readEvents } from '../../src/recording/blocks.js';
import { decodeEvent, genesis } from '../../src/recording/chain.js';
import type { RecordedEvent } from '../../src/recording/event.js';
import { type Hearing, listenAll } from '../../src/recording/hearing.js';
import { IndexWriter } from '../../src/recording/index.js';
import { Stretch } from '../../src/recording/stretch.js';
import { verifySession } from '../../src/recording/verify-database.js';
import { act, close, freshLedger, open, quiet, reapElsewhere, safe, startRecorder } from './fixture.js';

/** Notes what it hears, and what becomes of it. */
class Noting implements Hearing {
  readonly heard: number[] = [];
  by = 0;
  committed: boolean | null = null;

  hear({ seq }: RecordedEvent): void {
    this.heard.push(seq);
  }

  moved(by: number): void {
    this.by += by;
  }

  over(committed: boolean): void {
    this.committed = committed;
  }
}

function noting() {
  const all: Noting[] = [];
  const listen = () => {
    const one = new Noting();
    all.push(one);
    return one;
  };
  return { all, listen };
}

/** So many are encoded before they are written. */
const MANY = 8;
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

t.test('each event is heard once, many of them soon; when they are committed whoever heard is told', async (t) => {
  const { pool } = await freshLedger(t);
  const { all, listen } = noting();
  const { recorder } = await startRecorder(t, pool, { listen });
  const log = open(recorder, { mode: 'buffered' });
  for (const n of numbers(2, MANY - 1)) act(log, `select ${n}`);
  await turn();
  t.same(all[0]?.heard, [], 'few are left until they are written');
  act(log, 'select');
  t.same(all[0]?.heard, [], 'whoever acts does not wait for it');
  await turn();
  t.same(all[0], { heard: numbers(1, MANY), by: 0, committed: null });
  act(log, 'select');
  t.ok(await recorder.drain(5_000));
  t.same(
    all.map(({ heard, committed }) => ({ heard, committed })),
    [{ heard: numbers(1, MANY + 1), committed: true }],
  );
});

t.test('what cannot be recorded is told to be lost, also what was encoded already', async (t) => {
  const { pool } = await freshLedger(t);
  const { all, listen } = noting();
  const { recorder } = await startRecorder(t, pool, { listen });
  const log = open(recorder);
  await safe(log);
  for (const n of numbers(1, MANY)) act(log, `select ${n}`);
  await turn();
  log.append('action', {
    get verb(): string {
      throw new Error('boom');
    },
  });
  act(log, 'select 2');
  t.ok(await recorder.drain(5_000));
  t.same(all[1], { heard: numbers(2, MANY + 1), by: 0, committed: false });
  t.same(all[2]?.committed, true, 'the gap');
  const { findings } = await verifySession(pool, log.row.id);
  t.same(findings, []);
});

t.test(
  'what goes on behind the block of another gateway is heard once, and indexed where it stands then',
  async (t) => {
    const { pool } = await freshLedger(t);
    const { all, listen } = noting();
    const index = new IndexWriter({ pool, log: quiet });
    const { recorder, gatewayId } = await startRecorder(t, pool, {
      listen: listenAll([listen, index.listen]),
    });
    const log = open(recorder);
    await safe(log);
    t.same(await reapElsewhere(pool, gatewayId), [log.row.id]);
    log.onStall = () => close(log, 'recorder_stalled');
    const first = act(log, 'select 1');
    const written = safe(log);
    // These come while the block that stands in the way is met: all but the last are encoded by then.
    await turn();
    await turn();
    log.append('result', { of: first, status: '00000' });
    for (const n of numbers(1, MANY)) act(log, `select ${n}`);
    await turn();
    act(log, 'select 2');
    await written;
    t.ok(await recorder.drain(5_000));
    const heard = all.flatMap((one) => one.heard);
    t.equal(heard.length, 5 + MANY, `each once: ${heard}`);
    t.ok(all.every(({ committed }) => committed === true));
    t.equal(
      all.find((one) => one.heard[0] === 2)?.by,
      2,
      'whoever heard of the second event knows that it is the fourth',
    );
    await index.close();
    const events: RecordedEvent[] = [];
    for await (const event of readEvents(pool, log.row.id)) events.push(event);
    t.same(
      events.map(({ seq, kind }) => `${seq} ${kind}`),
      [
        ...['1 open', '2 gap', '3 close', '4 action', '5 result'],
        ...numbers(6, 6 + MANY).map((seq) => `${seq} action`),
        `${7 + MANY} close`,
      ],
    );
    t.equal(events[4]?.facts.of, 4);
    const { rows } = await pool.query(
      'select min(first_seq)::int as first, max(last_seq)::int as last, sum(actions)::int as actions, sum(last_seq - first_seq + 1)::int as events from block_index',
    );
    t.same(rows, [{ first: 1, last: 7 + MANY, actions: 2 + MANY, events: 7 + MANY }]);
    t.same((await verifySession(pool, log.row.id)).findings, []);
  },
);

t.test('facts that come later are asked for once, before anybody looks at them, or when nobody will', async (t) => {
  const { pool } = await freshLedger(t);
  const heard: unknown[] = [];
  const { recorder } = await startRecorder(t, pool, {
    listen: () => ({ hear: ({ facts }) => heard.push(facts.digest), moved: () => {}, over: () => {} }),
  });
  let times = 0;
  const append = (log: ReturnType<typeof open>) => {
    const facts: { digest?: string } = {};
    const complete = () => {
      times += 1;
      facts.digest = `${times}`;
    };
    log.append('notice', facts, null, { isThere: true, complete });
  };
  const log = open(recorder, { mode: 'buffered' });
  for (const _ of numbers(1, 2 * MANY)) append(log);
  t.equal(times, 0);
  await turn();
  t.equal(times, 2 * MANY);
  append(log);
  t.ok(await recorder.drain(5_000));
  t.same(heard, [undefined, ...numbers(1, 2 * MANY + 1).map(String)]);
  times = 0;
  const bad = open(recorder);
  await safe(bad);
  append(bad);
  bad.append('action', {
    get verb(): string {
      throw new Error('boom');
    },
  });
  append(bad);
  t.ok(await recorder.drain(5_000));
  t.equal(times, 2, 'of what is lost nothing is left elsewhere');
});

t.test('what is worked out elsewhere still is waited for when it is written, and not before', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const log = open(recorder, { mode: 'buffered' });
  const facts: Record<string, number>[] = numbers(1, 4 * MANY).map(() => ({}));
  let there = 0;
  for (const [at, one] of facts.entries()) {
    const complete = () => {
      one.order = at;
    };
    log.append('notice', one, null, {
      get isThere() {
        return at < there;
      },
      complete,
    });
  }
  const completed = () => facts.filter(({ order }) => order !== undefined).length;
  await turn();
  t.equal(completed(), 0);
  there = 2 * MANY;
  act(log, 'select 1'); // has it looked again
  await turn();
  t.equal(completed(), 2 * MANY);
  t.ok(await recorder.drain(5_000));
  const orders: unknown[] = [];
  for await (const { kind, facts } of readEvents(pool, log.row.id)) if (kind === 'notice') orders.push(facts.order);
  t.same(orders, [...facts.keys()]);
  t.same((await verifySession(pool, log.row.id)).findings, []);
});

t.test(
  'sessions that are encoded side by side, into memory that others used before, keep their bytes apart',
  async (t) => {
    const { pool } = await freshLedger(t);
    const { recorder } = await startRecorder(t, pool);
    const logs = Array.from({ length: 40 }, (_, n) => open(recorder, { mode: n % 2 === 0 ? 'strict' : 'buffered' }));
    const said = new Map(logs.map((log) => [log, [] as string[]]));
    for (let round = 0; round < 25; round += 1) {
      for (const log of logs) {
        const size = 10 ** (1 + Math.floor(Math.random() * 4));
        const text = randomBytes(Math.floor(Math.random() * size)).toString('base64');
        said.get(log)?.push(text);
        act(log, text);
        if (Math.random() < 0.3) log.whenSafe(() => {});
      }
      if (Math.random() < 0.5) await turn();
    }
    t.ok(await recorder.drain(20_000));
    for (const log of logs) {
      const read: unknown[] = [];
      for await (const { kind, payload } of readEvents(pool, log.row.id))
        if (kind === 'action') read.push(payload?.text);
      t.same(read, said.get(log));
      t.same((await verifySession(pool, log.row.id)).findings, []);
    }
  },
);

t.test('a block that is closed or dropped can be nothing else any more', async (t) => {
  const event = (seq: number): RecordedEvent => ({
    seq,
    at: seq,
    kind: 'notice',
    facts: {},
    payload: { text: 'é'.repeat(seq) },
  });
  const id = '00000000-0000-7000-8000-000000000000';
  const block = new OpenBlock(id, genesis(id));
  t.same(block.read(), []);
  for (let seq = 1; seq <= 900; seq += 1) block.add(event(seq));
  t.same(block.read().at(-1), event(900));
  const closed = await block.close();
  t.match(closed, { firstSeq: 1, lastSeq: 900, fromAt: 1, toAt: 900 });
  t.same(unpackBlock(closed.payload, closed.format).map(decodeEvent).at(-1), event(900));
  t.throws(() => block.add(event(901)), /closed/);
  await t.rejects(block.close(), /closed/);
  t.throws(() => block.drop(), /closed/);
  t.throws(() => block.read(), /closed/);
  const empty = new OpenBlock(id, genesis(id));
  t.throws(() => empty.closeAtOnce(), RangeError);
});

t.test('whatever those do who waited for a commit, whoever heard of it is told', async (t) => {
  const { pool } = await freshLedger(t);
  const { all, listen } = noting();
  const { recorder } = await startRecorder(t, pool, { listen });
  const log = open(recorder);
  log.whenSafe(() => {
    throw new Error('boom');
  });
  t.ok(await recorder.drain(5_000));
  t.equal(all[0]?.committed, true);
});

t.test('one session that cannot go on behind a foreign block is lost alone', async (t) => {
  const { pool } = await freshLedger(t);
  const ill = new Set<string>();
  const listen = (session: string): Hearing => ({
    hear: () => {},
    moved: () => {
      if (ill.delete(session)) throw new Error('boom');
    },
    over: () => {},
  });
  const { recorder, gatewayId } = await startRecorder(t, pool, { listen });
  const logs = [open(recorder), open(recorder)];
  await Promise.all(logs.map(safe));
  t.equal((await reapElsewhere(pool, gatewayId)).length, 2);
  ill.add(logs[0]?.row.id ?? '');
  for (const log of logs) {
    log.onStall = () => close(log, 'recorder_stalled');
    act(log, 'select 1');
  }
  await safe(logs[1] ?? open(recorder));
  t.ok(await recorder.drain(5_000));
  t.equal(ill.size, 0);
  for (const log of logs) t.same((await verifySession(pool, log.row.id)).findings, []);
});

t.test('what was encoded is kept as bytes alone, also while others wait behind it', async (t) => {
  const stretch = new Stretch('00000000-0000-7000-8000-000000000000', new Noting());
  const facts = numbers(1, 40).map((n) => ({ n, text: 'x'.repeat(1_000) }));
  const kept = facts.map((one) => new WeakRef(one));
  for (const [at, one] of facts.splice(0).entries())
    stretch.push({ seq: at + 1, at: 0, kind: 'notice', facts: one, payload: null, later: null });
  stretch.encode(genesis('x'), 20_000, true);
  const left = stretch.fresh;
  t.ok(left > 0 && left < 40, `${left} wait`);
  await turn(); // a reference that was looked at is strong until the end of a turn
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  t.ok(kept.filter((one) => one.deref() !== undefined).length <= left + 1);
});

t.test(
  'an event of which only half finds memory is not in the block, and those before and after are whole',
  async (t) => {
    const id = '00000000-0000-7000-8000-000000000000';
    const block = new OpenBlock(id, genesis(id));
    const event = (seq: number, size: number): RecordedEvent => {
      return { seq, at: seq, kind: 'notice', facts: {}, payload: { text: 'x'.repeat(size) } };
    };
    block.add(event(1, 10));
    const { allocUnsafeSlow } = Buffer;
    t.teardown(() => Object.assign(Buffer, { allocUnsafeSlow }));
    Object.assign(Buffer, {
      allocUnsafeSlow: () => {
        throw new RangeError('Array buffer allocation failed');
      },
    });
    t.throws(() => block.add(event(2, 9_000_000)), /allocation/);
    Object.assign(Buffer, { allocUnsafeSlow });
    block.add(event(2, 20));
    const closed = await block.close();
    t.same(unpackBlock(closed.payload, closed.format).map(decodeEvent), [event(1, 10), event(2, 20)]);
    t.same(closed, packBlock(id, genesis(id), [event(1, 10), event(2, 20)]));
  },
);

t.test('what turns out larger than it was taken for counts against the buffer', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const log = open(recorder, { mode: 'buffered' });
  for (const _ of numbers(1, 2 * MANY)) act(log, '\u0001'.repeat(1_000));
  const guessed = recorder.queuedBytes;
  for (const _ of numbers(1, MANY)) await turn();
  t.ok(recorder.queuedBytes > MANY * 6_000 && guessed < 2 * MANY * 2_000, `${guessed}, then ${recorder.queuedBytes}`);
  t.ok(await recorder.drain(5_000));
  t.equal(recorder.queuedBytes, 0);
});

t.test(
  'those who hear, and what comes later, may fail: nobody else has less for it, and nothing is doubled',
  async (t) => {
    const { pool } = await freshLedger(t);
    let times = 0;
    const listen = (): Hearing => ({
      hear: ({ payload }) => {
        if (payload?.text === 'select 5' && times++ === 0) throw new Error('boom');
      },
      moved: () => {},
      over: () => {},
    });
    const { recorder } = await startRecorder(t, pool, { listen });
    const heard = open(recorder, { mode: 'buffered' });
    for (const n of numbers(2, MANY + 3)) act(heard, `select ${n}`);
    const late = open(recorder);
    await safe(late);
    const complete = () => {
      throw new Error('boom');
    };
    late.append('notice', {}, null, { isThere: true, complete });
    t.ok(await recorder.drain(5_000));
    const good = open(recorder);
    await safe(good);
    for (const log of [heard, late, good]) t.same((await verifySession(pool, log.row.id)).findings, []);
    const seqs: number[] = [];
    for await (const { seq } of readEvents(pool, heard.row.id)) seqs.push(seq);
    t.same(seqs, numbers(1, MANY + 3));
  },
);
