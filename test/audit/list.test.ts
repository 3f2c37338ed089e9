import t from 'tap';
import { appendAudit } from '../../src/audit/append.js';
import { act, auditLog, exported } from './fixture.js';

t.test('the log is read by who, what, whom, since when and with which result', async (t) => {
  const { pool, log } = await auditLog(t);
  const at = Date.UTC(2026, 0, 1);
  await appendAudit(pool, act({ at, actor: 'ops', act: 'grant.issue', target: 'grant:a' }));
  await appendAudit(pool, act({ at: at + 1_000, actor: 'rita', act: 'grant.revoke', target: 'grant:a' }));
  await appendAudit(
    pool,
    act({ at: at + 2_000, actor: 'ops', act: 'granted.x', target: 'grant:b', result: 'refused' }),
  );
  const found = async (filter: Parameters<typeof log.list>[0]) =>
    (await log.list(filter, { limit: 10 })).entries.map(({ seq }) => seq);
  t.same(await found({}), [3, 2, 1]);
  t.same(await found({ actor: 'ops' }), [3, 1]);
  t.same(await found({ act: 'grant.issue' }), [1]);
  t.same(await found({ act: 'grant' }), [2, 1], 'a noun alone is every act on one');
  t.same(await found({ act: 'grant%' }), []);
  t.same(await found({ target: 'grant:a' }), [2, 1]);
  t.same(await found({ since: at + 1_000 }), [3, 2]);
  t.same(await found({ result: 'refused' }), [3]);
  t.same(await found({ actor: 'ops', target: 'grant:a' }), [1]);
});

t.test('pages go on where the one before ended, whatever is appended meanwhile', async (t) => {
  const { pool, log } = await auditLog(t, 5);
  const first = await log.list({}, { limit: 2 });
  t.match(first, { entries: [{ seq: 5 }, { seq: 4 }], next: 4 });
  await appendAudit(pool, act());
  const second = await log.list({}, { limit: 2, cursor: first.next ?? 0 });
  t.match(second, { entries: [{ seq: 3 }, { seq: 2 }], next: 2 });
  t.match(await log.list({}, { limit: 2, cursor: 2 }), { entries: [{ seq: 1 }], next: null });
});

t.test('an export is as long as the log, page after page', async (t) => {
  const { database, log } = await auditLog(t);
  await database.query(
    `do $$ begin for n in 1..2001 loop
       perform daypass.audit_append(now(), 'ops', 'socket', 'session.end', 'session:' || n, 'why', 'done');
     end loop; end $$`,
  );
  t.equal((await exported(log)).length, 2_002);
  t.match(await log.verify(), { entries: 2_001, findings: [] });
});

t.test('a ledger that does not answer is a fault with a code', async (t) => {
  const { database, log } = await auditLog(t);
  await database.query('alter table daypass.audit rename to gone');
  await t.rejects(log.list({}, { limit: 1 }), { code: 'ledger_unavailable' });
  await t.rejects(log.verify(), { code: 'ledger_unavailable' });
  await t.rejects(log.append(act()), { code: 'audit_unavailable' });
});
