import t from 'tap';
import { openAccessRequests } from '../../src/access/engagements.js';
import { waitUntil } from '../support/wait.js';
import {
  ASKED,
  addPerson,
  approved,
  DAY,
  everything,
  HOUR,
  MONDAY,
  refused,
  root,
  serviceText,
  startAccess,
} from './fixture.js';

const RETRIER = { ...ASKED, role: 'retrier' };
const fine = { outcome: 'approve', comment: 'fine' } as const;

t.test('as many of the owner’s group approve as the policy asks, each of them once', async (t) => {
  const access = await startAccess(t, { texts: [serviceText({ access: 'approvals: 2' })] });
  const { requests, as } = access;
  const { id } = await requests.create(await as('kim'), ASKED);
  t.match(await requests.decide(await as('ada'), id, fine), { state: 'pending', given: 1, needed: 2 });
  await refused(t, access, async () => requests.decide(await as('ada'), id, fine), 'already_decided');
  t.match(await requests.decide(await as('bob'), id, fine), { state: 'approved', given: 2, decidedAt: MONDAY });
  t.match((await access.audited()).at(-1), { actor: 'bob', act: 'request.approve', reason: 'fine', result: 'done' });
  t.match(await requests.get(await as('kim'), id), {
    approvals: [{ approver: 'ada' }, { approver: 'bob', comment: 'fine' }],
  });
});

t.test('one refusal ends it', async (t) => {
  const access = await startAccess(t, { texts: [serviceText({ access: 'approvals: 2' })] });
  const { requests, as } = access;
  const { id } = await requests.create(await as('kim'), ASKED);
  await requests.decide(await as('ada'), id, fine);
  t.match(await requests.decide(await as('bob'), id, { outcome: 'refuse', comment: 'not now' }), { state: 'refused' });
  await refused(t, access, async () => requests.activate(await as('kim'), id), 'not_approved', /Ask anew/);
});

t.test(
  'nobody decides but the owner’s group: not the requester, not who answers for them, not the socket',
  async (t) => {
    const access = await startAccess(t);
    const { requests, as } = access;
    const { id } = await requests.create(await as('kim'), ASKED);
    const own = await requests.create(await as('ada'), ASKED);
    for (const outcome of ['approve', 'refuse'] as const) {
      const by =
        (who: string, which = id) =>
        async () =>
          requests.decide(await as(who), which, { outcome, comment: 'x' });
      await refused(t, access, by('kim'), 'own_request');
      await refused(t, access, by('ada', own.id), 'own_request');
      await refused(t, access, by('eve'), 'not_allowed');
      await refused(t, access, by('sam'), 'sponsored_by_you');
      await refused(t, access, () => requests.decide(root, id, { outcome, comment: 'x' }), 'not_allowed', /Log in/);
    }
    await refused(
      t,
      access,
      async () => requests.decide(await as('ada'), id, { ...fine, comment: ' ' }),
      'invalid_request',
    );
    await refused(
      t,
      access,
      async () => requests.decide(await as('ada'), own.id.replace(/^./, 'f'), fine),
      'unknown_request',
    );
    await refused(t, access, async () => requests.decide(await as('ada'), "x' or 1=1", fine), 'unknown_request');
  },
);

t.test('a sponsor whom the request names does not decide about it either', async (t) => {
  const access = await startAccess(t);
  const { requests, as } = access;
  const { id } = await requests.create(await as('kim'), { ...ASKED, sponsor: 'ada' });
  await refused(t, access, async () => requests.decide(await as('ada'), id, fine), 'sponsored_by_you');
  await refused(t, access, async () => requests.decide(await as('sam'), id, fine), 'sponsored_by_you');
  t.match(await requests.decide(await as('bob'), id, fine), { state: 'approved' });
});

t.test(
  'who answers for a contractor can log in as them: the two are one hand, and it decides nothing about who it is',
  async (t) => {
    const access = await startAccess(t, { texts: [serviceText({ access: 'approvals: 2' })] });
    const { requests, as, database } = access;
    await addPerson(database, 'cat', { sponsor: 'ada', groups: ['leads'] });
    await addPerson(database, 'dan', { sponsor: 'ada', groups: ['leads'] });
    const deciding = (by: string, id: string) => async () => requests.decide(await as(by), id, fine);
    const own = await requests.create(await as('ada'), ASKED);
    const named = await requests.create(await as('kim'), { ...ASKED, sponsor: 'ada' });
    t.same((await requests.list(await as('cat'), { toDecide: true })).requests, []);
    for (const { id } of [own, named]) await refused(t, access, deciding('cat', id), 'not_allowed', undefined);
    const { id } = await requests.create(await as('kim'), ASKED);
    t.match((await requests.list(await as('cat'), { toDecide: true })).requests, [{ id }]);
    await deciding('cat', id)();
    for (const by of ['ada', 'dan']) await refused(t, access, deciding(by, id), 'already_decided');
    t.match(await deciding('bob', id)(), { state: 'approved', given: 2 });
    await database.query(`update daypass.people set sponsor = 'kim' where subject = 'cat'`);
    await t.rejects(requests.activate(await as('kim'), id), { code: 'second_approval_needed' });
  },
);

t.test('a person who was removed from the group between request and approval does not approve', async (t) => {
  const access = await startAccess(t);
  const { requests, as, database } = access;
  const { id } = await requests.create(await as('kim'), ASKED);
  const before = await as('ada');
  await database.query(`update daypass.people set groups = '{}' where subject = 'ada'`);
  await refused(t, access, () => requests.decide(before, id, fine), 'not_allowed');
  await database.query(`update daypass.people set groups = '{leads}', closed_at = now() where subject = 'ada'`);
  await refused(t, access, () => requests.decide(before, id, fine), 'account_ended');
});

t.test('an approver may leave less: a role it builds on, fewer rules, a shorter time', async (t) => {
  const access = await startAccess(t);
  const { requests, as } = access;
  const deciding = async (change: object, id: string) => requests.decide(await as('ada'), id, { ...fine, ...change });
  const { id } = await requests.create(await as('kim'), RETRIER);
  await refused(t, access, () => deciding({ role: 'admin' }, id), 'unknown_role', /viewer/);
  await refused(t, access, () => deciding({ seconds: 3_601 }, id), 'invalid_period', /1h or less/);
  await refused(t, access, () => deciding({ seconds: 0 }, id), 'invalid_period');
  await refused(t, access, () => deciding({ only: ['GET /secret'] }, id), 'unknown_rule', /GET \/orders/);
  await refused(t, access, () => deciding({ only: [] }, id), 'unknown_rule');
  await refused(t, access, () => deciding({ role: 'viewer', only: ['POST /orders/:id/retry'] }, id), 'unknown_rule');
  const view = await deciding({ role: 'viewer', only: ['GET /orders'], seconds: 600 }, id);
  t.match(view, { state: 'approved', role: 'retrier', allowedRole: 'viewer', allowedSeconds: 600 });
  const { grant } = await requests.activate(await as('kim'), id);
  t.match(grant, { role: 'viewer', only: ['GET /orders'], expiresAt: MONDAY + 600_000 });
  const wider = await requests.create(await as('kim'), ASKED);
  await refused(t, access, () => deciding({ role: 'retrier' }, wider.id), 'unknown_role');
});

t.test('A14: a role with fewer rules and larger limits is no narrower one, and what gives more is named', async (t) => {
  const limits = (viewer: string, helper: string, retrier: string) =>
    serviceText({
      roles:
        `  viewer:\n    allow: [GET /]\n${viewer}\n  helper:\n    extends: viewer\n    allow: [GET /orders]\n${helper}\n` +
        `  retrier:\n    extends: helper\n    allow: [POST /orders/:id/retry]\n${retrier}`,
      access: 'approvals: 2',
    });
  const tight = '    websocket: { max_message: 1KiB }\n    recording: { bodies: 64KiB }';
  const access = await startAccess(t, { texts: [limits('', '    websocket: { max_message: 2KiB }', tight)] });
  const { requests, as, policies } = access;
  const leaving = (by: string, id: string, role: string) => async () =>
    requests.decide(await as(by), id, { ...fine, role });
  const { id } = await requests.create(await as('kim'), RETRIER);
  await refused(t, access, leaving('ada', id, 'viewer'), 'wider_limits', /Leave rules out of retrier/);
  await t.rejects(leaving('ada', id, 'viewer')(), { message: /websocket.max_message, recording.bodies/ });
  const kib = '    websocket: { max_message: 1KiB }';
  policies.reload(limits(kib, '    websocket: { max_message: 512B }', kib));
  await leaving('ada', id, 'helper')();
  await refused(t, access, leaving('bob', id, 'viewer'), 'wider_limits', /out of helper/);
  policies.reload(limits('', '', ''));
  t.match(await leaving('bob', id, 'viewer')(), { state: 'approved', allowedRole: 'viewer' });
  policies.reload(limits('', '', tight));
  await refused(t, access, async () => requests.activate(await as('kim'), id), 'limits_changed', /Ask anew/);
});

t.test('the narrowest of all approvals wins', async (t) => {
  const access = await startAccess(t, { texts: [serviceText({ access: 'approvals: 3' })] });
  await addPerson(access.database, 'cat', { groups: ['leads'] });
  const { requests, as } = access;
  const { id } = await requests.create(await as('kim'), RETRIER);
  await requests.decide(await as('ada'), id, { ...fine, only: ['GET /', 'POST /orders/:id/retry'], seconds: 1_800 });
  const rest = async () => requests.decide(await as('bob'), id, { ...fine, role: 'viewer', only: ['GET /orders'] });
  await refused(t, access, rest, 'unknown_rule', /the others left/);
  await requests.decide(await as('bob'), id, { ...fine, role: 'viewer', seconds: 2_400 });
  await requests.decide(await as('cat'), id, fine);
  const { grant } = await requests.activate(await as('kim'), id);
  t.match(grant, { role: 'viewer', only: ['GET /'], expiresAt: MONDAY + 1_800_000 });
});

t.test('the policy in force when it is decided counts: one that was tightened refuses, with what to do', async (t) => {
  const access = await startAccess(t);
  const { requests, as, policies } = access;
  const { id } = await requests.create(await as('kim'), { ...RETRIER, from: MONDAY + 20 * DAY });
  const deciding = async () => requests.decide(await as('ada'), id, fine);
  const changes: readonly (readonly [Parameters<typeof serviceText>[0], RegExp])[] = [
    [{ grants: 'max_duration: 30m, max_renewals: 1' }, /30m or less/],
    [{ access: 'approvals: 1, max_ahead: 7d' }, /to begin by 2026-12-07/],
    [{ access: 'nda: required' }, /name it/],
    [{ access: null }, /operator/],
    [{ roles: '  viewer:\n    allow: [GET /]' }, /Ask anew/],
  ];
  for (const [change, hint] of changes) {
    policies.reload(serviceText(change));
    await refused(t, access, deciding, 'limits_changed', hint);
  }
  policies.reload();
  await refused(t, access, deciding, 'limits_changed');
  policies.reload(serviceText({ owner: 'group:data-leads' }));
  await refused(t, access, async () => requests.decide(await as('sam'), id, fine), 'not_allowed');
  policies.reload(serviceText({ grants: 'max_duration: 30m, max_renewals: 1' }));
  t.match(await requests.decide(await as('ada'), id, { ...fine, seconds: 1_800 }), { state: 'approved' });
});

t.test('a policy that asks for more approvals by now gets them', async (t) => {
  const access = await startAccess(t);
  const { requests, as, policies } = access;
  const { id } = await requests.create(await as('kim'), ASKED);
  policies.reload(serviceText({ access: 'approvals: 2' }));
  t.match(await requests.decide(await as('ada'), id, fine), { state: 'pending', needed: 2, given: 1 });
});

t.test(
  'two approvals that race are two, and a refusal that races with one of them counts or comes too late',
  async (t) => {
    const access = await startAccess(t, { texts: [serviceText({ access: 'approvals: 2' })] });
    const { requests, as } = access;
    const kim = await as('kim');
    for (let round = 0; round < 5; round += 1) {
      const { id } = await requests.create(kim, ASKED);
      const [ada, bob] = [await as('ada'), await as('bob')];
      const twice = [ada, ada, bob].map((who) => requests.decide(who, id, fine));
      const codes = (await Promise.allSettled(twice)).map((one) =>
        one.status === 'rejected' ? one.reason.code : 'done',
      );
      const { state, given, approvals } = await requests.get(kim, id);
      t.same([state, given, approvals.map(({ approver }) => approver).sort()], ['approved', 2, ['ada', 'bob']]);
      t.equal(codes.filter((code) => code === 'done').length, 2);
      // Whoever comes after the other two finds that it is decided, and not only by herself.
      t.equal(codes.filter((code) => code === 'already_decided' || code === 'not_pending').length, 1, codes.join());
      const other = await requests.create(kim, ASKED);
      await requests.decide(ada, other.id, fine);
      const race = [
        requests.decide(bob, other.id, fine),
        requests.decide(bob, other.id, { ...fine, outcome: 'refuse' }),
      ];
      t.equal((await Promise.allSettled(race)).filter(({ status }) => status === 'fulfilled').length, 1);
    }
  },
);

t.test('what nobody decides in time lapses by the sweep, and who comes too late is told', async (t) => {
  const access = await startAccess(t, { texts: [serviceText({ access: 'decide_within: 2h' })] });
  const { requests, as, clock, audited, events } = access;
  const asked = { ...ASKED, from: MONDAY + DAY };
  const { id, decideBy } = await requests.create(await as('kim'), asked);
  t.equal(decideBy, MONDAY + 2 * HOUR);
  clock.now += 2 * HOUR;
  t.match(await requests.get(await as('kim'), id), { state: 'lapsed' });
  await t.rejects(requests.decide(await as('ada'), id, fine), { code: 'not_pending', message: /not answered in time/ });
  const sweeps = await Promise.all([requests.sweep(), requests.sweep(), requests.sweep()]);
  t.equal(
    sweeps.reduce((a, b) => a + b),
    1,
    'one gateway of several lapses it',
  );
  t.match((await audited()).at(-1), { actor: 'daypass', via: 'system', act: 'request.lapse', result: 'done' });
  t.match(events.at(-1), { act: 'request.lapse', request: { id, state: 'lapsed' } });
  t.match(await requests.get(await as('kim'), id), { acts: [{}, { act: 'lapse', by: 'daypass' }] });
  const before = await everything(access.database);
  t.equal(await requests.sweep(), 0);
  t.strictSame(await everything(access.database), before);
});

t.test('by a clock that is not the other gateways’ nothing lapses', async (t) => {
  const access = await startAccess(t, { texts: [serviceText({ access: 'decide_within: 2h' })] });
  const { requests, as, clock, audited } = access;
  const { id } = await requests.create(await as('kim'), { ...ASKED, from: MONDAY + DAY });
  clock.now += 2 * HOUR;
  await t.rejects(requests.decide(await as('ada'), id, fine), { code: 'not_pending' });
  let [isTheirs, asked] = [false, 0];
  const clockAgrees = () => {
    asked += 1;
    return isTheirs;
  };
  const other = openAccessRequests({ ...access.parts, sweepEvery: 20, clockAgrees });
  t.teardown(() => other.stop());
  const lapsed = async () => (await audited()).some((entry) => Object(entry).act === 'request.lapse');
  await waitUntil('its time has come', () => asked > 2);
  t.notOk(await lapsed());
  isTheirs = true;
  await waitUntil('it lapses', lapsed);
});

t.test('access in two lanes at the same time takes one approval more', async (t) => {
  const data = serviceText({
    name: 'reports',
    lane: 'data',
    owner: 'group:data-leads',
    access: 'pre_approved: [viewer]',
  });
  const access = await startAccess(t, { texts: [serviceText(), data] });
  const { requests, as, policies } = access;
  await approved(access);
  const reports = { ...ASKED, service: 'reports' };
  const made = await requests.create(await as('kim'), reports);
  t.match(made, { state: 'pending', needed: 1, kind: 'pre_approved' });
  t.match(
    await requests.create(await as('kim'), { ...reports, from: MONDAY + HOUR }),
    { state: 'approved', needed: 0 },
    'afterwards',
  );
  t.match(await requests.create(await as('eve'), reports), { needed: 0 }, 'somebody else');
  t.match(await requests.decide(await as('ada'), made.id, fine), { state: 'approved', needed: 1 });
  policies.reload(serviceText(), serviceText({ name: 'reports', lane: 'production' }));
  t.match(await requests.create(await as('kim'), reports), { needed: 1 }, 'by the lane in force');
});
