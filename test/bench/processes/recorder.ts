/*
 * The recorder alone, with sessions that do nothing but append what a statement and its result append:
 * `recorder.js <ledger url>`.
 */
import { systemClock as clock } from '../../../src/clock.js';
import { createLog } from '../../../src/log.js';
import { openDatabase } from '../../../src/recording/database.js';
import { IndexWriter } from '../../../src/recording/index.js';
import type { SessionLog } from '../../../src/recording/log.js';
import { ensurePartitions, migrate } from '../../../src/recording/migrate.js';
import { Recorder } from '../../../src/recording/recorder.js';
import { uuid7 } from '../../../src/recording/uuid7.js';
import { type Message, serveBench } from '../child.js';

const log = createLog();
const pool = openDatabase(process.argv[2] ?? '', { max: 2, log });
await migrate(pool);
await ensurePartitions(pool, clock.wall());
const index = new IndexWriter({ pool, log });
const recorder = new Recorder({ pool, gatewayId: crypto.randomUUID(), clock, log, listen: index.listen });

/** Milliseconds; it flushes about each second. */
const INDEXED = 2_500;

serveBench({}, async ({ mode, sessions, milliseconds }: Message) => {
  const kind = mode === 'strict' ? 'strict' : 'buffered';
  const before = await totals();
  const from = clock.monotonic();
  const until = from + Number(milliseconds);
  const all = Array.from({ length: Number(sessions) }, () => act(open(kind), until));
  const actions = (await Promise.all(all)).reduce((sum, one) => sum + one, 0);
  await recorder.drain(60_000);
  const seconds = (clock.monotonic() - from) / 1000;
  await new Promise((resolve) => setTimeout(resolve, INDEXED)); // the search index is written behind
  const after = await totals();
  const events = after.events - before.events;
  return {
    eventsPerSecond: events / seconds,
    bytesPerEvent: (after.bytes - before.bytes) / events,
    storedPerEvent: (after.stored - before.stored) / events,
    indexPerEvent: (after.index - before.index) / events,
    actionsPerCommit: actions / Math.max(1, after.commits - before.commits),
  };
});

function open(mode: 'strict' | 'buffered'): SessionLog {
  const startedAt = clock.wall();
  const session = recorder.open({
    id: uuid7(startedAt),
    grantId: 'bench',
    service: 'bench',
    protocol: 'postgres',
    principal: 'alice',
    role: 'reader',
    client: '127.0.0.1',
    mode,
    policyVersion: 'bench',
    startedAt,
  });
  return session;
}

/** One action after another until the time is up: each waits for its record, then its result is recorded. */
function act(session: SessionLog, until: number): Promise<number> {
  return new Promise((resolve) => {
    let actions = 0;
    const next = () => {
      if (clock.monotonic() >= until) return resolve(actions);
      actions += 1;
      const rule = 'reader: { statements: [select], relations: [public.pgbench_accounts] }';
      const facts = {
        verb: 'select',
        on: ['public.pgbench_accounts'],
        via: 'execute',
        outcome: 'allow',
        rule,
      } as const;
      const text = 'SELECT abalance FROM pgbench_accounts WHERE aid = $1;';
      const of = session.append('action', facts, { text, parameters: [String((actions * 48271) % 500000)] });
      session.whenSafe(() => {
        const ms = Math.round((actions * 37) % 1000) / 1000;
        session.append('result', { of, status: '00000', tag: 'SELECT 1', rows: 1, bytesOut: 24, ms });
        // The buffer is filled as fast as it can be, but the recorder must get its turn.
        if (actions % 64 === 0 || session.row.mode === 'strict') setImmediate(next);
        else next();
      });
    };
    next();
  });
}

interface Totals {
  readonly events: number;
  /** Of the payloads alone. */
  readonly bytes: number;
  /** Of the blocks' tables with their keys. */
  readonly stored: number;
  /** Of the search index with its indexes. */
  readonly index: number;
  readonly commits: number;
}

async function totals(): Promise<Totals> {
  const { rows } = await pool.query<Totals>(
    `select coalesce(sum(last_seq - first_seq + 1), 0)::float8 as events, coalesce(sum(length(payload)), 0)::float8 as bytes,
       count(distinct xmin::text)::float8 as commits,
       (select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = 'blocks'::regclass)::float8 as stored,
       pg_total_relation_size('block_index')::float8 as index
     from blocks`,
  );
  return rows[0] ?? { events: 0, bytes: 0, stored: 0, index: 0, commits: 0 };
}
