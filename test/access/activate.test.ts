import t from 'tap';
import { parseHandle, secretMatches } from '../../src/grant/handle.js';
import {
  ASKED,
  activated,
  addPerson,
  approved,
  DAY,
  HOUR,
  MONDAY,
  refused,
  root,
  serviceText,
  startAccess,
} from './fixture.js';

const fine = { outcome: 'approve', comment: 'fine' } as const;

t.test('the requester activates, and the handle is theirs alone', async (t) => {
  const access = await startAccess(t);
  const { requests, as, authority } = access;
  const { id } = await approved(access, { hours: 'Mon-Fri 09:00-18:00 UTC' });
  await refused(t, access, async () => requests.activate(await as('ada'), id), 'not_yours');
  await refused(t, access, () => requests.activate(root, id), 'not_allowed');
  const { request, grant, handle } = await requests.activate(await as('kim'), id);
  t.match(request, { state: 'activated', activatedAt: MONDAY, grant: { id: grant.id, expiresAt: MONDAY + HOUR } });
  t.match(grant, {
    ...{ principal: 'kim', service: 'orders-web', role: 'viewer', sponsor: 'sam', reason: ASKED.task, request: id },
    ...{ groups: ['externals'], window: 'Mon-Fri 09:00-18:00 UTC', nda: null, only: null },
    ...{ notBefore: MONDAY, expiresAt: MONDAY + HOUR },
  });
  const check = await authority.check(grant.id);
  t.ok(check.ok && secretMatches(check.grant, parseHandle(handle)?.secret ?? ''));
  const secret = parseHandle(handle)?.secret ?? '';
  t.notMatch(JSON.stringify([await requests.get(await as('ada'), id), await access.audited(), access.events]), secret);
});

t.test('nothing but an approved request can be activated', async (t) => {
  const access = await startAccess(t);
  const { requests, as } = access;
  const kim = await as('kim');
  const { id } = await requests.create(kim, ASKED);
  await refused(t, access, () => requests.activate(kim, id), 'not_approved');
  await requests.withdraw(kim, id, 'not needed');
  await refused(t, access, () => requests.activate(kim, id), 'not_approved');
});

t.test('with the clock of the start the grant ends when it was agreed, whenever it is activated', async (t) => {
  const access = await startAccess(t);
  const { requests, as, clock, authority } = access;
  const kim = await as('kim');
  const early = await approved(access, { from: MONDAY + 2 * HOUR });
  const { grant } = await requests.activate(kim, early.id);
  t.match(grant, { notBefore: MONDAY + 2 * HOUR, expiresAt: MONDAY + 3 * HOUR });
  t.match(await authority.check(grant.id), { ok: false, reason: 'not_yet' });
  const late = await approved(access);
  clock.now += HOUR - 1_500;
  t.match((await requests.activate(kim, late.id)).grant, { expiresAt: MONDAY + HOUR });
  const missed = await approved(access, { from: MONDAY + 2 * HOUR });
  clock.now = MONDAY + 3 * HOUR;
  t.match(await requests.get(kim, missed.id), { state: 'expired' });
  await refused(t, access, () => requests.activate(kim, missed.id), 'too_late');
});

t.test('with the clock of the first use it runs from then, within the time to begin', async (t) => {
  const access = await startAccess(t, { texts: [serviceText({ access: 'clock: first_use' })] });
  const { requests, as, clock } = access;
  const kim = await as('kim');
  const asked = { from: MONDAY + HOUR, to: MONDAY + 5 * HOUR };
  const { id } = await approved(access, asked);
  await refused(t, access, () => requests.activate(kim, id), 'too_early', /then/);
  clock.now = MONDAY + 4 * HOUR + 700;
  t.match((await requests.activate(kim, id)).grant, { notBefore: MONDAY + 4 * HOUR, expiresAt: MONDAY + 5 * HOUR });
  clock.now = MONDAY;
  const other = await approved(access, asked);
  clock.now = MONDAY + 5 * HOUR;
  await refused(t, access, () => requests.activate(kim, other.id), 'too_late');
  t.match(await requests.create(kim, { ...ASKED }), { endsAt: clock.now + DAY }, 'a day, when nothing is said');
});

t.test('activating again gives a new handle, ends the former, and is never longer', async (t) => {
  const access = await startAccess(t);
  const { requests, as, clock, authority } = access;
  const { grant: former, request } = await activated(access);
  await requests.renew(await as('kim'), request.id, { seconds: 600, reason: 'not done' });
  clock.now += 60_000;
  const { grant, request: view } = await requests.activate(await as('kim'), request.id);
  t.not(grant.id, former.id);
  t.match(grant, { expiresAt: former.expiresAt + 600_000, renewals: 1 });
  t.match(view, { grant: { id: grant.id }, activatedAt: MONDAY });
  t.match(await authority.check(former.id), { ok: false, reason: 'revoked' });
  t.match(await authority.check(grant.id), { ok: true });
  const { acts } = await requests.get(await as('kim'), request.id);
  t.match(acts.at(-1), { act: 'activate', reason: 'activated again, for a new handle' }, 'nobody was asked why');
});

t.test('activations at once leave one grant that lives', async (t) => {
  const access = await startAccess(t);
  const { requests, as, authority } = access;
  const { id } = await approved(access);
  const kim = await as('kim');
  const all = await Promise.all(Array.from({ length: 5 }, () => requests.activate(kim, id)));
  const live = await authority.list({ active: true });
  t.equal(live.length, 1);
  t.equal((await requests.get(kim, id)).grant?.id, live[0]?.id);
  t.equal(new Set(all.map(({ handle }) => handle)).size, 5);
});

t.test('everything is judged again when it is activated', async (t) => {
  const access = await startAccess(t);
  const { requests, as, policies, database } = access;
  const kim = await as('kim');
  const { id } = await approved(access, { role: 'retrier' });
  const activating = () => requests.activate(kim, id);
  policies.reload(serviceText({ grants: 'max_duration: 30m, max_renewals: 1' }));
  await refused(t, access, activating, 'limits_changed');
  policies.reload(serviceText({ roles: '  viewer:\n    allow: [GET /]' }));
  await refused(t, access, activating, 'limits_changed');
  policies.reload(serviceText());
  await database.query(`update daypass.people set closed_at = now() where subject = 'sam'`);
  await refused(t, access, activating, 'not_allowed', /reassign/);
  await database.query(`update daypass.people set sponsor = 'eve' where subject = 'kim'`);
  await database.query(`update daypass.people set ends_at = $1 where subject = 'kim'`, [new Date(MONDAY)]);
  await refused(t, access, activating, 'account_ended');
  await database.query(`update daypass.people set ends_at = $1 where subject = 'kim'`, [new Date(MONDAY + 90_500)]);
  t.match((await activating()).grant, { sponsor: 'eve', expiresAt: MONDAY + 90_000 }, 'never beyond the account');
});

t.test('a policy that asks for more by now sends the request back to wait', async (t) => {
  const access = await startAccess(t);
  const { requests, as, policies, authority } = access;
  const { id } = await approved(access);
  policies.reload(serviceText({ access: 'approvals: 2' }));
  await t.rejects(requests.activate(await as('kim'), id), { code: 'second_approval_needed', hint: /1 more/ });
  t.match(await requests.get(await as('kim'), id), { state: 'pending', needed: 2, given: 1 });
  t.match((await access.audited()).at(-1), { result: 'refused', detail: { code: 'second_approval_needed' } });
  t.same(await authority.list(), []);
  await requests.decide(await as('bob'), id, fine);
  t.ok((await requests.activate(await as('kim'), id)).handle);
});

t.test(
  'a new handle takes as many approvals as the policy asks by now, and is none the harder for another lane',
  async (t) => {
    const data = serviceText({ name: 'reports', lane: 'data', access: 'pre_approved: [viewer]' });
    const access = await startAccess(t, { texts: [serviceText(), data] });
    const { requests, as, policies } = access;
    const { request } = await activated(access);
    const other = await requests.create(await as('kim'), { ...ASKED, service: 'reports' });
    await requests.decide(await as('bob'), other.id, fine);
    t.ok((await requests.activate(await as('kim'), request.id)).handle);
    policies.reload(serviceText({ access: 'approvals: 2' }), data);
    const again = async () => requests.activate(await as('kim'), request.id);
    await refused(t, access, again, 'second_approval_needed', /Ask anew/);
  },
);

t.test('an approval by who is the sponsor or no owner’s group any more does not count', async (t) => {
  const access = await startAccess(t);
  const { requests, as, policies, database } = access;
  const { id } = await approved(access);
  await database.query(`update daypass.people set sponsor = 'ada' where subject = 'kim'`);
  await t.rejects(requests.activate(await as('kim'), id), { code: 'second_approval_needed' });
  await requests.decide(await as('bob'), id, fine);
  policies.reload(serviceText({ owner: 'group:data-leads' }));
  await t.rejects(requests.activate(await as('kim'), id), { code: 'second_approval_needed' });
});

t.test(
  'access in another lane that came in between needs a second approval, a grant of an operator’s too',
  async (t) => {
    const data = serviceText({ name: 'reports', lane: 'data', access: 'approvals: 1' });
    const access = await startAccess(t, { texts: [serviceText(), data] });
    const { requests, as, authority } = access;
    const { id } = await approved(access);
    const other = {
      principal: 'kim',
      service: 'reports',
      durationSeconds: 600,
      sponsor: 'sam',
      reason: 'x',
      by: 'root',
    };
    const { grant } = await authority.issue(other);
    await t.rejects(requests.activate(await as('kim'), id), { code: 'second_approval_needed' });
    await authority.revoke(grant.id, { by: 'root', reason: 'done' });
    await requests.decide(await as('bob'), id, fine);
    t.match((await requests.activate(await as('kim'), id)).request, { state: 'activated', needed: 1 });
  },
);

t.test(
  'two requests of one person in two lanes that are approved at once do not both pass by one approval',
  async (t) => {
    const data = serviceText({ name: 'reports', lane: 'data', access: 'approvals: 1' });
    const access = await startAccess(t, { texts: [serviceText(), data] });
    const { requests, as } = access;
    const kim = await as('kim');
    const [a, b] = [await requests.create(kim, ASKED), await requests.create(kim, { ...ASKED, service: 'reports' })];
    const [ada, bob] = [await as('ada'), await as('bob')];
    const views = await Promise.all([requests.decide(ada, a.id, fine), requests.decide(bob, b.id, fine)]);
    t.same(views.map(({ state }) => state).sort(), ['approved', 'pending']);
  },
);

t.test('an employee who names no sponsor answers for themselves', async (t) => {
  const access = await startAccess(t);
  await addPerson(access.database, 'ann');
  t.match((await activated(access, {}, 'ann')).grant, { sponsor: 'ann' });
});
