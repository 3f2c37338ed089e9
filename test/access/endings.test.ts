import t from 'tap';
import type { Grants } from '../../src/access/grants.js';
import { DaypassError } from '../../src/errors.js';
import { freshDatabase, startPostgres } from '../support/postgres.js';
import { waitUntil } from '../support/wait.js';
import {
  ASKED,
  activated,
  addPerson,
  approved,
  HOUR,
  MONDAY,
  refused,
  root,
  serviceText,
  startAccess,
} from './fixture.js';

const fine = { outcome: 'approve', comment: 'fine' } as const;
const REASON = 'not needed any more';

t.test('the requester withdraws what is not activated yet', async (t) => {
  const access = await startAccess(t);
  const { requests, as } = access;
  const kim = await as('kim');
  const pending = await requests.create(kim, ASKED);
  await refused(t, access, async () => requests.withdraw(await as('ada'), pending.id, REASON), 'not_yours');
  await refused(t, access, () => requests.withdraw(root, pending.id, REASON), 'not_allowed');
  t.match(await requests.withdraw(kim, pending.id, REASON), { state: 'withdrawn', overAt: MONDAY });
  await refused(t, access, () => requests.withdraw(kim, pending.id, REASON), 'already_decided');
  await refused(t, access, async () => requests.decide(await as('ada'), pending.id, fine), 'not_pending');
  const { id } = await approved(access);
  t.match(await requests.withdraw(kim, id, REASON), { state: 'withdrawn' });
  await refused(t, access, () => requests.activate(kim, id), 'not_approved');
  const { request } = await activated(access);
  await refused(
    t,
    access,
    () => requests.withdraw(kim, request.id, REASON),
    'already_decided',
    /Hand it back instead \(daypass return\)/,
  );
});

t.test('the holder hands back early, and what was handed back stays over', async (t) => {
  const access = await startAccess(t);
  const { requests, as, authority } = access;
  const kim = await as('kim');
  const { request, grant } = await activated(access);
  await refused(t, access, async () => requests.giveBack(await as('ada'), request.id, REASON), 'not_yours');
  t.match(await requests.giveBack(kim, request.id, REASON), { state: 'returned', overAt: MONDAY });
  t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
  for (const again of [
    () => requests.activate(kim, request.id),
    () => requests.giveBack(kim, request.id, REASON),
    () => requests.renew(kim, request.id, { seconds: 60, reason: REASON }),
  ])
    await refused(t, access, again, 'not_approved', /Ask anew/);
});

t.test('the holder renews within the count and the total of the policy', async (t) => {
  const access = await startAccess(t, {
    texts: [serviceText({ grants: 'max_duration: 2h, max_renewals: 2, max_total: 3h' })],
  });
  const { requests, as, authority, clock } = access;
  const kim = await as('kim');
  const { request, grant } = await activated(access);
  const renewing = (seconds: number) => () => requests.renew(kim, request.id, { seconds, reason: 'not done yet' });
  await refused(
    t,
    access,
    async () => requests.renew(await as('ada'), request.id, { seconds: 60, reason: 'x' }),
    'not_yours',
  );
  await refused(t, access, renewing(7_201), 'duration_exceeds_policy', /2h or less/);
  await refused(t, access, renewing(0), 'invalid_period');
  t.match(await renewing(3_600)(), { grant: { id: grant.id, renewals: 1, expiresAt: MONDAY + 2 * HOUR } });
  t.match((await requests.get(kim, request.id)).acts.at(-1), { act: 'renew', by: 'kim', detail: { seconds: 3_600 } });
  await refused(t, access, renewing(3_601), 'total_exceeds_policy');
  await authority.suspend(grant.id, { by: 'root', reason: 'the sponsor left' });
  t.match(await requests.get(kim, request.id), { state: 'activated', grant: { suspended: true } });
  await refused(t, access, renewing(60), 'suspended');
  await refused(t, access, () => requests.activate(kim, request.id), 'suspended');
  await authority.resume(grant.id, { by: 'root', reason: 'another sponsor' });
  await renewing(60)();
  await refused(t, access, renewing(60), 'renewals_exhausted');
  clock.now = MONDAY + 3 * HOUR;
  t.match(await requests.get(kim, request.id), { state: 'expired' });
  await refused(t, access, renewing(60), 'not_approved');
});

t.test('no renewal is longer than the shorter time that was approved', async (t) => {
  const access = await startAccess(t);
  const { requests, as } = access;
  const { id } = await requests.create(await as('kim'), ASKED);
  await requests.decide(await as('ada'), id, { outcome: 'approve', comment: 'half of it', seconds: 1_800 });
  await requests.activate(await as('kim'), id);
  const renewing = (seconds: number) => async () =>
    requests.renew(await as('kim'), id, { seconds, reason: 'not done' });
  await refused(t, access, renewing(1_801), 'second_approval_needed', /30m or less/);
  t.match(await renewing(1_800)(), { grant: { renewals: 1 } });
});

t.test('no renewal reaches beyond the account, or into access in another lane', async (t) => {
  const access = await startAccess(t, { texts: [serviceText(), serviceText({ name: 'reports', lane: 'data' })] });
  const { requests, as } = access;
  await addPerson(access.database, 'lou', { sponsor: 'sam', endsAt: MONDAY + 90 * 60_000 });
  const { request } = await activated(access, {}, 'lou');
  const lou = await as('lou');
  const renewing = (seconds: number) => () => requests.renew(lou, request.id, { seconds, reason: 'not done' });
  await refused(t, access, renewing(1_801), 'account_ended', /30m or less/);
  await renewing(1_800)();
  const mine = await activated(access);
  await approved(access, { service: 'reports', from: MONDAY + HOUR });
  const into = async () => requests.renew(await as('kim'), mine.request.id, { seconds: 60, reason: 'not done' });
  await refused(t, access, into, 'second_approval_needed');
});

t.test('the owner’s group and operators revoke, and what was revoked is never activated again', async (t) => {
  const access = await startAccess(t);
  const { requests, as, authority } = access;
  const kim = await as('kim');
  const { request, grant } = await activated(access);
  await refused(t, access, () => requests.revoke(kim, request.id, REASON), 'not_allowed');
  await refused(t, access, async () => requests.revoke(await as('eve'), request.id, REASON), 'not_allowed');
  await refused(t, access, async () => requests.revoke(await as('ada'), request.id, ''), 'invalid_request');
  t.match(await requests.revoke(await as('ada'), request.id, REASON), { state: 'revoked', ledger: 'written' });
  t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
  t.match(await requests.revoke(root, request.id, 'again'), { state: 'revoked' }, 'again changes nothing');
  t.equal((await requests.get(root, request.id)).acts.filter(({ act }) => act === 'revoke').length, 1);
  await refused(t, access, () => requests.activate(kim, request.id), 'not_approved');
  const pending = await requests.create(kim, ASKED);
  await requests.revoke(root, pending.id, REASON);
  await refused(t, access, async () => requests.decide(await as('ada'), pending.id, fine), 'not_pending');
  const ready = await approved(access);
  await requests.revoke(root, ready.id, REASON);
  await refused(t, access, () => requests.activate(kim, ready.id), 'not_approved');
});

t.test('a grant that an operator revoked itself is over for its request too', async (t) => {
  const access = await startAccess(t);
  const { requests, as, authority } = access;
  const { request, grant } = await activated(access);
  await authority.revoke(grant.id, { by: 'root', reason: REASON });
  t.match(await requests.get(root, request.id), { state: 'revoked' });
  await refused(t, access, async () => requests.activate(await as('kim'), request.id), 'not_approved');
});

t.test('everything of a person, a service, a request or a grant ends at once, grants of operators too', async (t) => {
  const access = await startAccess(t, {
    texts: [serviceText(), serviceText({ name: 'reports', owner: 'group:data-leads' })],
  });
  const { requests, as, authority } = access;
  await addPerson(access.database, 'lou', { sponsor: 'sam' });
  const loose = {
    principal: 'kim',
    service: 'orders-web',
    durationSeconds: 600,
    sponsor: 'sam',
    reason: 'x',
    by: 'root',
  };
  const { grant } = await authority.issue(loose);
  const mine = await activated(access);
  const ready = await approved(access);
  const other = await approved(access, { service: 'reports' });
  const lous = await activated(access, {}, 'lou');
  await t.rejects(requests.revokeWhere({}, root, REASON), { code: 'invalid_request' });
  await t.rejects(requests.revokeWhere({ principal: 'kim' }, await as('kim'), REASON), { code: 'not_allowed' });
  const ended = await requests.revokeWhere({ principal: 'kim' }, await as('sam'), REASON);
  t.same(ended, { requests: [mine.request.id, ready.id].sort(), grants: [grant.id], queued: 0, failed: [] });
  t.match(await requests.get(root, other.id), { state: 'approved' }, 'of another owner');
  t.match(await authority.check(lous.grant.id), { ok: true });
  t.match(await requests.revokeWhere({ grant: lous.grant.id }, root, REASON), {
    requests: [lous.request.id],
    grants: [],
  });
  t.match(await requests.revokeWhere({ service: 'reports' }, root, REASON), { requests: [other.id] });
  t.same(await authority.list({ active: true }), []);
  const oldest = await authority.issue(loose);
  await access.database.query(
    `insert into daypass.grants (id, service, principal, role, sponsor, reason, token, issued_at, not_before, expires_at, renewals)
     select 'later' || n, service, principal, role, sponsor, reason, token, issued_at + interval '1 minute', not_before, expires_at, 0
     from daypass.grants, generate_series(1, 1000) as n where id = $1`,
    [oldest.grant.id],
  );
  const one = await requests.revokeWhere({ grant: oldest.grant.id }, root, REASON);
  t.same(one.grants, [oldest.grant.id], 'however many there are');
});

t.test('a revocation that the ledger does not take says that it is queued, and holds', async (t) => {
  const server = await startPostgres(t);
  const database = await freshDatabase(t, server);
  let stop = false;
  const wrap = (grants: Grants): Grants => ({
    ...bound(grants),
    // The ledger stops between the judgement and the revocation.
    revoke: async (id, act) => {
      if (stop) await server.pause();
      return grants.revoke(id, act);
    },
  });
  const access = await startAccess(t, { database, wrap });
  const { request, grant } = await activated(access);
  stop = true;
  const revoked = await access.requests.revoke(root, request.id, REASON).finally(() => server.resume());
  stop = false;
  t.match(revoked, { state: 'revoked', ledger: 'queued', grant: { id: grant.id } });
  t.match(await access.authority.check(grant.id), { ok: false, reason: 'revoked' });
  // What was stopped may take its time to answer again.
  await waitUntil('the ledger has it', () =>
    access.authority.drainPending().then(
      () => true,
      () => false,
    ),
  );
  t.match(await access.requests.get(root, request.id), { state: 'revoked' });
  await refused(t, access, async () => access.requests.activate(await access.as('kim'), request.id), 'not_approved');
});

function bound(grants: Grants): Grants {
  return {
    issue: (asked) => grants.issue(asked),
    replace: (id, act) => grants.replace(id, act),
    renew: (id, asked) => grants.renew(id, asked),
    revoke: (id, act) => grants.revoke(id, act),
    suspend: (id, act) => grants.suspend(id, act),
    resume: (id, act) => grants.resume(id, act),
    show: (id) => grants.show(id),
  };
}

t.test('that no grant is made by a clock that differs is nobody’s fault, and the request waits for it', async (t) => {
  let differs = true;
  const wrap = (grants: Grants): Grants => ({
    ...bound(grants),
    issue: (asked) => (differs ? Promise.reject(new DaypassError('clock_differs', 'by 3 s')) : grants.issue(asked)),
  });
  const access = await startAccess(t, { wrap });
  const { id } = await approved(access);
  const kim = await access.as('kim');
  await t.rejects(access.requests.activate(kim, id), { code: 'clock_differs' });
  t.match((await access.audited()).at(-1), { result: 'failed', detail: { code: 'clock_differs' } });
  differs = false;
  t.match(await access.requests.activate(kim, id), { request: { state: 'activated' } });
});

t.test('what a failed activation had begun is taken back', async (t) => {
  const access = await startAccess(t);
  const { id } = await approved(access);
  await access.database.query('alter table daypass.audited add constraint never check (entry is null) not valid');
  await t.rejects(access.requests.activate(await access.as('kim'), id), /./);
  await access.database.query('alter table daypass.audited drop constraint never');
  t.same(await access.authority.list({ active: true }), []);
  t.match(await access.requests.get(root, id), { state: 'approved' });
  t.ok((await access.requests.activate(await access.as('kim'), id)).handle);
});

t.test('a request is seen by who asked, who answers for them, the owners, reviewers and operators alone', async (t) => {
  const access = await startAccess(t, {
    texts: [serviceText(), serviceText({ name: 'reports', owner: 'group:data-leads' })],
  });
  const { requests, as, database } = access;
  await addPerson(database, 'rio', { groups: ['security'] });
  const { id } = await requests.create(await as('kim'), { ...ASKED, service: 'reports' });
  for (const who of ['kim', 'sam', 'ada', 'rio']) t.equal((await requests.get(await as(who), id)).id, id, who);
  t.equal((await requests.list(root)).requests.length, 1);
  await t.rejects(requests.get({ ...(await as('eve')) }, id), { code: 'unknown_request' });
  t.same((await requests.list(await as('eve'))).requests, []);
  t.match((await requests.list(await as('ada'), { toDecide: true })).requests, [{ id }]);
  t.same((await requests.list(await as('sam'), { toDecide: true })).requests, [], 'who does not own it');
  await requests.decide(await as('ada'), id, fine);
  t.same((await requests.list(await as('bob'), { toDecide: true })).requests, []);
  t.match((await requests.list(await as('kim'), { mine: true, state: 'approved' })).requests, [{ id }]);
});

t.test('lists come in pages, the newest first', async (t) => {
  const { requests, as, clock } = await startAccess(t);
  const ids: string[] = [];
  for (let count = 0; count < 5; count += 1) {
    clock.now += 1_000;
    ids.unshift((await requests.create(await as('kim'), ASKED)).id);
  }
  const first = await requests.list(root, { limit: 3 });
  const second = await requests.list(root, { limit: 3, cursor: first.next });
  t.same(
    [...first.requests, ...second.requests].map(({ id }) => id),
    ids,
  );
  t.equal(second.next, null);
  await t.rejects(requests.list(root, { cursor: 'x' }), { code: 'unknown_request' });
});
