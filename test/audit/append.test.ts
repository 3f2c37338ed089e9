import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { appendAudit } from '../../src/audit/append.js';
import { GENESIS, link } from '../../src/audit/chain.js';
import { systemClock } from '../../src/clock.js';
import type { Grant } from '../../src/grant/grant.js';
import { Ledger } from '../../src/grant/ledger.js';
import { Logins } from '../../src/identity/logins.js';
import { recordViewing } from '../../src/recording/read.js';
import { inTransaction } from '../../src/recording/transaction.js';
import { act, asOwner, auditLog } from './fixture.js';

const GRANT: Grant = {
  id: '0123456789abcdefghijkl',
  service: 'orders-db',
  principal: 'alice',
  role: 'reader',
  sponsor: 'dana',
  reason: 'order 7',
  lane: 'production',
  owner: 'group:payments-leads',
  issuedAt: Date.UTC(2026, 0, 1),
  notBefore: Date.UTC(2026, 0, 1),
  expiresAt: Date.UTC(2026, 0, 1, 1),
  renewals: 0,
  confirmation: Buffer.alloc(32),
  scram: null,
  token: 'a.b.c',
  groups: [],
  request: null,
  nda: null,
  window: null,
  only: null,
};
const BY = { by: 'ops', reason: 'order 7', at: Date.UTC(2026, 0, 1) };

t.test('lines are numbered from one without a gap, and each continues the one before it', async (t) => {
  const { database, pool } = await auditLog(t);
  await Promise.all(Array.from({ length: 20 }, (_, n) => appendAudit(pool, act({ target: `session:${n}` }))));
  const rows = await database.query('select seq::int, entry, hash_before, hash_after from daypass.audit order by seq');
  t.same(
    rows.map(({ seq }) => seq),
    Array.from({ length: 20 }, (_, n) => n + 1),
  );
  let hash = GENESIS;
  for (const row of rows) {
    t.ok(row.hash_before.equals(hash));
    hash = link(hash, row.entry);
    t.ok(row.hash_after.equals(hash));
  }
});

t.test('an act that is rolled back leaves no line and no gap', async (t) => {
  const { pool, log } = await auditLog(t, 1);
  const undone = inTransaction(pool, async (client) => {
    await appendAudit(client, act());
    throw new Error('the act failed');
  });
  await t.rejects(undone, /the act failed/);
  await appendAudit(pool, act());
  t.match(await log.verify(), { entries: 2, findings: [] });
});

t.test(
  'issue, renewal and revocation of a grant are written down with who it is for, whoever writes the ledger',
  async (t) => {
    const { pool, log } = await auditLog(t);
    const ledger = new Ledger(pool);
    await ledger.insert(GRANT, BY);
    await ledger.renew(GRANT.id, async () => ({
      grant: { ...GRANT, expiresAt: GRANT.expiresAt + 1_000, renewals: 1 },
      act: { ...BY, reason: 'more' },
    }));
    await ledger.revoke(GRANT.id, { ...BY, reason: 'done' });
    await ledger.revoke(GRANT.id, { ...BY, reason: 'again: it changes nothing' });
    const { entries } = await log.list({}, { limit: 10 });
    const detail = { principal: 'alice', service: 'orders-db', role: 'reader', until: '2026-01-01T01:00:01.000000Z' };
    t.match(entries, [
      { seq: 3, act: 'grant.revoke', reason: 'done', detail },
      { seq: 2, act: 'grant.renew', reason: 'more', detail },
      {
        seq: 1,
        ...{ at: '2026-01-01T00:00:00.000000Z', actor: 'ops', via: 'socket', act: 'grant.issue', result: 'done' },
        ...{
          target: `grant:${GRANT.id}`,
          reason: 'order 7',
          detail: { ...detail, until: '2026-01-01T01:00:00.000000Z' },
        },
      },
    ]);
    t.equal(entries.length, 3);
  },
);

t.test('links, logins, logouts and viewings are written down', async (t) => {
  const { pool, log } = await auditLog(t);
  const logins = new Logins(pool, systemClock, async () => {});
  const { secret } = await logins.link('alice', { by: 'ops', reason: 'first day' });
  await logins.logIn(secret, null);
  await logins.logOut('alice', { by: 'ops', reason: 'last day' });
  await recordViewing(pool, {
    by: 'rita',
    via: 'socket',
    act: 'replay',
    session: '0190a000-0000-7000-8000-000000000000',
  });
  await recordViewing(pool, { by: 'rita', via: 'socket', act: 'verify', session: null });
  const { entries } = await log.list({}, { limit: 10 });
  t.match([...entries].reverse(), [
    { act: 'login.link', actor: 'ops', via: 'socket', target: 'person:alice', reason: 'first day' },
    { act: 'login.login', actor: 'alice', via: 'browser', target: 'person:alice' },
    { act: 'login.logout', actor: 'ops', via: 'socket', reason: 'last day' },
    { act: 'recording.replay', actor: 'rita', target: 'session:0190a000-0000-7000-8000-000000000000', reason: null },
    { act: 'recording.verify', actor: 'rita', target: 'recordings' },
  ]);
  t.notMatch(JSON.stringify(entries), secret);
});

t.test('a transaction says by which door its acts came', async (t) => {
  const { pool, log } = await auditLog(t);
  await inTransaction(pool, async (client) => {
    await client.query(`set local daypass.via = 'token'`);
    await client.query(`insert into viewings (by, act) values ('rita', 'verify')`);
  });
  await recordViewing(pool, { by: 'rita', via: 'socket', act: 'verify', session: null });
  t.match(await log.list({}, { limit: 2 }), { entries: [{ via: 'socket' }, { via: 'token' }] });
});

t.test('an act whose line cannot be written down does not happen', async (t) => {
  const { database, pool } = await auditLog(t);
  const ledger = new Ledger(pool);
  await ledger.insert(GRANT, BY);
  await database.query('alter table daypass.audit add constraint brimful check (seq < 2)');
  await t.rejects(ledger.revoke(GRANT.id, BY), { code: 'ledger_unavailable' });
  await t.rejects(ledger.insert({ ...GRANT, id: 'x'.repeat(22) }, BY), { code: 'ledger_unavailable' });
  const renewal = ledger.renew(GRANT.id, async () => ({ grant: { ...GRANT, renewals: 1 }, act: BY }));
  await t.rejects(renewal, { code: 'ledger_unavailable' });
  await t.rejects(recordViewing(pool, { by: 'rita', via: 'socket', act: 'show', session: null }));
  await t.rejects(appendAudit(pool, act()), { code: 'audit_unavailable' });
  const kept = await database.query('select id, renewals, revoked_at from daypass.grants');
  t.same(kept, [{ id: GRANT.id, renewals: 0, revoked_at: null }]);
  t.same(await database.query('select * from daypass.viewings'), []);
});

t.test('a transaction that appends and then falls silent keeps nobody from acting for long', async (t) => {
  const { pool, log } = await auditLog(t);
  const silent = await pool.connect();
  silent.on('error', () => {});
  // In one message: between two the limit would run already.
  await silent.query(`begin; set local idle_in_transaction_session_timeout = '300ms';
    select audit_append(now(), 'ops', 'socket', 'session.end', 'session:silent', 'why', 'done')`);
  await appendAudit(pool, act({ target: 'session:next' }));
  silent.release(true);
  t.match(await log.list({}, { limit: 9 }), { entries: [{ seq: 1, target: 'session:next' }], next: null });
  await inTransaction(pool, async (client) => {
    await appendAudit(client, act());
    const { rows } = await client.query('show idle_in_transaction_session_timeout');
    t.same(rows, [{ idle_in_transaction_session_timeout: '10s' }], 'as every transaction that appends has a limit');
  });
});

t.test('two transactions that lock rows in opposite orders to their acts cannot block each other', async (t) => {
  const { database, pool } = await auditLog(t);
  const ledger = new Ledger(pool);
  const [one, two] = [GRANT, { ...GRANT, id: 'b'.repeat(22) }];
  await ledger.insert(one, BY);
  await ledger.insert(two, BY);
  const first = await database.client();
  await first.query('set search_path to daypass; begin');
  await first.query(`insert into grant_acts (grant_id, act, at, by, reason) values ($1, 'renew', now(), 'a', 'a')`, [
    one.id,
  ]);
  const revoked = ledger.revoke(two.id, BY);
  await Promise.race([revoked, pause(900)]);
  await first.query('select 1 from grants where id = $1 for update', [two.id]);
  await first.query('commit');
  t.ok(await revoked, 'the log is locked only while a transaction commits');
});

t.test('the log refuses to be changed or emptied by accident', async (t) => {
  const { database } = await auditLog(t, 2);
  for (const sql of [`update daypass.audit set actor = 'x'`, 'delete from daypass.audit', 'truncate daypass.audit'])
    await t.rejects(database.query(sql), { code: '42501', message: /append-only/ }, sql);
});

t.test('no handle and no token is kept, wherever it was pasted', async (t) => {
  const { database, pool, log } = await auditLog(t);
  const handle = `dp_${'a'.repeat(22)}_${'S'.repeat(43)}`;
  const token = `dpt_${'T'.repeat(43)}`;
  const pasted = `use ${handle} or ${token}`;
  await appendAudit(pool, act({ actor: pasted, target: pasted, reason: pasted, detail: { note: [pasted] } }));
  const [row] = await database.query('select a::text as whole from daypass.audit a');
  t.notMatch(row?.whole, /S{43}|T{43}/);
  t.match(row?.whole, `dp_${'a'.repeat(22)}_[redacted]`);
  t.match(await log.verify(), { findings: [] });
});

t.test('what was typed comes back as it was typed, and stays one line', async (t) => {
  const { pool, log, database } = await auditLog(t);
  const reason = 'a\n{"seq":2}\r\n\x1b[2J "quoted" \\ \u009b \u202e \u2028 ü 🚪 end';
  await appendAudit(pool, act({ reason, detail: { reason } }));
  t.match(await log.list({}, { limit: 1 }), { entries: [{ reason, detail: { reason } }] });
  const [row] = await database.query(`select entry from daypass.audit`);
  t.notMatch(row?.entry, /[\n\r\x1b]/);
  t.match(await log.verify(), { findings: [] });
});

t.test('the log is made in the schema of the gateway, whatever the path of whoever writes', async (t) => {
  const { database, log } = await auditLog(t);
  await database.query(`insert into daypass.viewings (by, act) values ('rita', 'verify')`);
  await asOwner(database, 'select 1');
  t.match(await log.verify(), { entries: 1, findings: [] });
});
