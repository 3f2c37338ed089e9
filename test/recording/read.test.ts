import t from 'tap';
import type { ServicePolicy } from '../../src/config/protocol.js';
import { readEvents } from '../../src/recording/blocks.js';
import { followEvents } from '../../src/recording/follow.js';
import { rememberPolicies } from '../../src/recording/policies.js';
import { listSessions, readSession } from '../../src/recording/read.js';
import { rebuildIndex } from '../../src/recording/rebuild.js';
import { act, freshLedger, open, record, safe, startRecorder } from './fixture.js';

t.test('sessions are listed page by page, the newest first, and filtered', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const began = Date.UTC(2026, 0, 1);
  const ids: string[] = [];
  for (let n = 0; n < 5; n += 1) {
    const principal = n % 2 === 0 ? 'alice' : 'bob';
    const log = open(recorder, {
      startedAt: began + n * 1000,
      principal,
      service: n === 4 ? 'orders-web' : 'orders-db',
    });
    await safe(log);
    ids.unshift(log.row.id);
  }
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await listSessions(pool, {}, { limit: 2, cursor });
    seen.push(...page.sessions.map(({ id }) => id));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  t.same(seen, ids);
  const of = async (filter: Parameters<typeof listSessions>[1]) =>
    (await listSessions(pool, filter, { limit: 10 })).sessions.map(({ id }) => ids.length - 1 - ids.indexOf(id));
  t.same(await of({ person: 'alice' }), [4, 2, 0]);
  t.same(await of({ person: 'alice', service: 'orders-db' }), [2, 0]);
  t.same(await of({ since: began + 3000 }), [4, 3]);
  t.same(await of({ refused: true }), []);
});

t.test('a session is read with what the index counts of it', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const { row } = await record(recorder, 3);
  await pool.query(`update sessions set ended_at = ended_at - interval '1 minute'`);
  await rebuildIndex(pool);
  const session = await readSession(pool, row.id);
  t.match(session, {
    principal: 'alice',
    endReason: 'client_left',
    counts: { actions: 3, denied: 1, rows: 6, bytesOut: 30 },
  });
  t.match((await listSessions(pool, { refused: true }, { limit: 1 })).sessions, [{ id: row.id }]);
  await t.rejects(readSession(pool, '00000000-0000-7000-8000-000000000000'), { code: 'unknown_session' });
});

t.test('policy texts are kept once for each version', async (t) => {
  const { pool } = await freshLedger(t);
  const policy: ServicePolicy = {
    ...{ name: 'orders-db', protocol: 'postgres', lane: 'production', owner: 'group:leads', defaultRole: 'reader' },
    ...{
      upstream: {},
      roles: new Map(),
      rulesOf: () => [],
      roleFor: () => undefined,
      looser: () => [],
      grants: { maxDurationSeconds: 60, maxRenewals: 0 },
    },
    ...{ recording: { mode: 'strict' }, secrets: [], certificate: null, version: 'v1', text: 'service: orders-db' },
  };
  await rememberPolicies(pool, [policy, policy]);
  await rememberPolicies(pool, [policy, { ...policy, version: 'v2', text: 'service: orders-db # changed' }]);
  const { rows } = await pool.query('select version, service from policies order by version');
  t.same(rows, [
    { version: 'v1', service: 'orders-db' },
    { version: 'v2', service: 'orders-db' },
  ]);
  await rememberPolicies(pool, []);
});

t.test('B11: whoever is shut out while they read slowly sees no more than the block they are at', async (t) => {
  const { pool } = await freshLedger(t);
  const { recorder } = await startRecorder(t, pool);
  const log = open(recorder);
  await safe(log);
  for (const text of ['select 1', 'select 2', 'select 3']) {
    act(log, text);
    await safe(log);
  }
  for (const read of [readEvents, followEvents]) {
    let isShutOut = false;
    const seen: number[] = [];
    const look = async () => {
      const still = async () => {
        if (isShutOut) throw new Error('shut out');
      };
      for await (const { seq } of read(pool, log.row.id, still)) {
        seen.push(seq);
        isShutOut = seq === 2;
      }
    };
    await t.rejects(look(), { message: 'shut out' });
    t.equal(seen.at(-1), 2, 'of what had come already nothing more is shown either');
  }
});
