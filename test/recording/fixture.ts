import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/recording/database.js';
import type { SessionLog, SessionRow } from '../../src/recording/log.js';
import { migrate } from '../../src/recording/migrate.js';
import { reapSessions } from '../../src/recording/reap.js';
import { Recorder, type RecorderOptions } from '../../src/recording/recorder.js';
import { openingFacts } from '../../src/recording/row-facts.js';
import { uuid7 } from '../../src/recording/uuid7.js';
import { ledgerDatabase } from '../support/ledger.js';
import type { Database, PostgresServer } from '../support/postgres.js';
import { waitUntil } from '../support/wait.js';

export const quiet = createLog('silent');

export interface LedgerFixture {
  readonly database: Database;
  readonly pool: pg.Pool;
}

/** A migrated database of the test's own and a pool on it. */
export async function freshLedger(t: Test, server?: PostgresServer): Promise<LedgerFixture> {
  const database = await ledgerDatabase(t, server);
  const pool = openDatabase(database.url, { max: 4, applicationName: 'recorder-under-test' });
  t.teardown(() => pool.end());
  await migrate(pool);
  return { database, pool };
}

/** A recorder whose gateway has a row, as a living gateway has. */
export async function startRecorder(t: Test, pool: pg.Pool, options: Partial<RecorderOptions> = {}) {
  const gatewayId = options.gatewayId ?? randomUUID();
  await pool.query(`insert into gateways values ($1, now(), now(), 'here', 1) on conflict do nothing`, [gatewayId]);
  const recorder = new Recorder({ pool, clock: systemClock, log: quiet, ...options, gatewayId });
  t.teardown(() => recorder.close());
  return { recorder, gatewayId };
}

/** Another gateway takes the sessions of this one for lost, and closes them. @returns which */
export async function reapElsewhere(pool: pg.Pool, gatewayId: string): Promise<readonly string[]> {
  await pool.query(`update gateways set seen_at = now() - interval '1 minute' where id = $1`, [gatewayId]);
  return reapSessions(pool, 'other', Date.now());
}

export function sessionRow(over: Partial<SessionRow> = {}): SessionRow {
  const startedAt = over.startedAt ?? Date.now();
  return {
    id: uuid7(startedAt),
    grantId: '0123456789abcdefghijkl',
    service: 'orders-db',
    protocol: 'postgres',
    principal: 'alice',
    role: 'reader',
    client: '127.0.0.1',
    mode: 'strict',
    policyVersion: 'v1',
    startedAt,
    ...over,
  };
}

/** Opens a session's recording as the gate does. */
export function open(recorder: Recorder, over: Partial<SessionRow> = {}): SessionLog {
  const row = sessionRow(over);
  const log = recorder.open(row);
  log.append('open', openingFacts(row, recorder.gatewayId), { token: 'a.b.c' });
  return log;
}

export function act(log: SessionLog, text: string, outcome: 'allow' | 'deny' = 'allow'): number {
  const reason = outcome === 'deny' ? { reason: 'out_of_scope' } : {};
  return log.append('action', { verb: 'select', on: ['public.orders'], outcome, rule: 'r', ...reason }, { text });
}

export function close(log: SessionLog, reason = 'client_left'): void {
  log.close({ endedAt: Date.now(), reason, dueAt: null, cutAt: null, bytesAfterDue: 0 });
}

/** Resolves when everything appended so far is committed. */
export function safe(log: SessionLog): Promise<void> {
  return new Promise((resolve) => log.whenSafe(resolve));
}

/** A whole session in `blocks` blocks of two events each, between its first and its last block. */
export async function record(recorder: Recorder, blocks: number, over: Partial<SessionRow> = {}): Promise<SessionLog> {
  const log = open(recorder, over);
  await safe(log);
  for (let n = 1; n <= blocks; n += 1) {
    const of = act(log, `select ${n}`, n === 2 ? 'deny' : 'allow');
    log.append('result', { of, status: '00000', rows: n, bytesOut: 10 });
    await safe(log);
  }
  close(log);
  await safe(log);
  return log;
}

/** Waits until a condition in the database holds. */
export async function until(database: Database, sql: string, values: unknown[] = []): Promise<void> {
  const holds = async () => {
    const [row] = await database.query<{ ok: boolean }>(`select (${sql}) as ok`, values);
    return row?.ok === true;
  };
  await waitUntil(sql, holds, { every: 20 });
}

/** From here on commits wait for a synchronous standby, which is not there. */
export async function commitsWait(database: Database): Promise<void> {
  await database.query(`alter system set synchronous_standby_names = 'standby'`);
  await database.query('select pg_reload_conf()');
  const probe = await database.client();
  await probe.query('set synchronous_commit = on');
  const [{ pid }] = (await probe.query<{ pid: number }>('select pg_backend_pid() as pid')).rows as [{ pid: number }];
  // Whoever commits has it from a process of the server's own, which reads its settings in its own time.
  let isOver = true;
  await waitUntil('commits wait', async () => {
    if (isOver) {
      isOver = false;
      void probe.query(`select pg_logical_emit_message(true, 'probe', ''::text)`).finally(() => (isOver = true));
    }
    const waits = `select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`;
    return (await database.query(waits, [pid])).length > 0;
  });
}

/** Commits wait for nobody any more. */
export async function commitsGoOn(database: Database): Promise<void> {
  await database.query('alter system reset synchronous_standby_names');
  await database.query('select pg_reload_conf()');
}
