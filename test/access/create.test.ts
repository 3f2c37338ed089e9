import t from 'tap';
import { ASKED, addPerson, DAY, HOUR, MONDAY, refused, root, serviceText, startAccess } from './fixture.js';

const FULL = serviceText({
  access: 'approvals: 2, pre_approved: [viewer], break_glass: { roles: [retrier], max_duration: 30m }, max_ahead: 7d',
});

t.test('a request says what is asked for, by whom, until when it is decided and how many have to agree', async (t) => {
  const { requests, as, audited, events } = await startAccess(t, { texts: [FULL] });
  const made = await requests.create(await as('kim'), { ...ASKED, role: 'retrier' });
  t.match(made, {
    ...{ principal: 'kim', service: 'orders-web', role: 'retrier', kind: 'usual', state: 'pending', sponsor: 'sam' },
    ...{ startsAt: MONDAY, endsAt: MONDAY + HOUR, seconds: 3_600, needed: 2, given: 0, lane: 'production' },
    ...{ owner: 'group:leads', decideBy: MONDAY + HOUR, grant: null },
  });
  t.match((await audited()).at(-1), {
    ...{ actor: 'kim', via: 'browser', act: 'request.create', target: `request:${made.id}`, result: 'done' },
    reason: ASKED.task,
  });
  t.match(events, [{ act: 'request.create', by: 'kim', request: { id: made.id } }]);
  t.match(await requests.get(await as('kim'), made.id), { acts: [{ act: 'create', by: 'kim' }], approvals: [] });
});

t.test('a role that is pre-approved needs nobody', async (t) => {
  const { requests, as } = await startAccess(t, { texts: [FULL] });
  t.match(await requests.create(await as('kim'), ASKED), { kind: 'pre_approved', state: 'approved', needed: 0 });
});

t.test(
  'twenty requests of a person may wait for an answer; an emergency and what needs no answer come besides',
  async (t) => {
    const access = await startAccess(t, { texts: [FULL] });
    const kim = await access.as('kim');
    const asking = (change: object) => () => access.requests.create(kim, { ...ASKED, role: 'retrier', ...change });
    const [first] = await Promise.all(Array.from({ length: 20 }, asking({})));
    await refused(t, access, asking({}), 'too_many_requests', /withdraw/);
    t.match(await asking({ breakGlass: true, seconds: 600 })(), { state: 'approved' });
    t.match(await asking({ role: 'viewer' })(), { state: 'approved' });
    await access.requests.withdraw(kim, first?.id ?? '', 'not needed');
    t.match(await asking({})(), { state: 'pending' });
  },
);

t.test('the task is held to the policy', async (t) => {
  const access = await startAccess(t);
  const kim = await access.as('kim');
  await refused(
    t,
    access,
    () => access.requests.create(kim, { ...ASKED, task: 'bug fix' }),
    'vague_task',
    /what is to be done/,
  );
});

t.test('a service without access: cannot be asked for, nor one or a role that is not there', async (t) => {
  const access = await startAccess(t, { texts: [serviceText(), serviceText({ name: 'vault', access: null })] });
  const kim = await access.as('kim');
  const asking = (change: object) => () => access.requests.create(kim, { ...ASKED, ...change });
  await refused(t, access, asking({ service: 'vault' }), 'not_requestable', /operator/);
  await refused(t, access, asking({ service: 'payroll' }), 'unknown_service');
  await refused(t, access, asking({ service: '__proto__' }), 'unknown_service');
  await refused(t, access, asking({ role: 'admin' }), 'unknown_role', /viewer, retrier/);
});

t.test('the error of a limit states the limit and the largest value that would pass', async (t) => {
  const access = await startAccess(t, { texts: [FULL] });
  const kim = await access.as('kim');
  const asking = (change: object) => () => access.requests.create(kim, { ...ASKED, ...change });
  await refused(t, access, asking({ seconds: 14_401 }), 'duration_exceeds_policy', /4h or less/);
  await refused(t, access, asking({ from: MONDAY + 8 * DAY }), 'starts_too_far', /2026-12-07T09:00:00Z at the latest/);
  for (const seconds of [0, -1, 1.5, Number.NaN]) await refused(t, access, asking({ seconds }), 'invalid_period');
  await access.requests.create(kim, { ...ASKED, seconds: 14_400, from: MONDAY + 7 * DAY });
});

t.test(
  'access begins now or later, and a clock of the asker that is behind by a minute is none the worse',
  async (t) => {
    const access = await startAccess(t);
    const kim = await access.as('kim');
    const asking = (change: object) => () => access.requests.create(kim, { ...ASKED, ...change });
    await refused(t, access, asking({ from: MONDAY - 60_001 }), 'invalid_period', /begin now/);
    await refused(t, access, asking({ from: Number.NaN }), 'invalid_period');
    await refused(t, access, asking({ from: Number.POSITIVE_INFINITY }), 'invalid_period');
    t.match(await asking({ from: MONDAY - 60_000 })(), { startsAt: MONDAY - 60_000 });
  },
);

t.test('an end before the beginning is refused, and one that is not beginning and duration together', async (t) => {
  const access = await startAccess(t);
  const kim = await access.as('kim');
  const from = MONDAY + DAY;
  const asking = (to: number) => () => access.requests.create(kim, { ...ASKED, from, to });
  await refused(t, access, asking(MONDAY), 'invalid_period', /beginning comes first/);
  await refused(t, access, asking(from), 'invalid_period');
  await refused(t, access, asking(from + 2 * HOUR), 'invalid_period', /2026-12-01T10:00:00Z/);
  t.match(await asking(from + HOUR)(), { endsAt: from + HOUR });
});

t.test('weekly hours name a time zone that there is, and come during the access', async (t) => {
  const access = await startAccess(t);
  const kim = await access.as('kim');
  const asking = (hours: string) => () => access.requests.create(kim, { ...ASKED, hours });
  await refused(t, access, asking('Mon-Fri 09:00-18:00 Europe/Berln'), 'invalid_hours', /Europe\/Berlin/);
  await refused(t, access, asking('Mon-Fri 09:00-18:00'), 'invalid_hours');
  await refused(t, access, asking('always'), 'invalid_hours');
  await refused(t, access, asking('Sun 09:00-18:00 Europe/Berlin'), 'invalid_hours', /other hours/);
  t.match(await asking('Mon\u2013Fri 09:00-18:00 europe/berlin')(), { hours: 'Mon-Fri 09:00-18:00 Europe/Berlin' });
});

t.test('nothing reaches beyond the end of the account', async (t) => {
  const access = await startAccess(t);
  await addPerson(access.database, 'lou', { sponsor: 'sam', endsAt: MONDAY + HOUR / 2 });
  const lou = await access.as('lou');
  const asking = (seconds: number) => () => access.requests.create(lou, { ...ASKED, seconds });
  await refused(t, access, asking(3_600), 'account_ended', /30m or less/);
  t.match(await asking(1_800)(), { state: 'pending' });
});

t.test('only people with an open account ask, and only for themselves', async (t) => {
  const access = await startAccess(t);
  const kim = await access.as('kim');
  await refused(t, access, () => access.requests.create(root, ASKED), 'not_allowed', /Log in/);
  await refused(t, access, () => access.requests.create({ ...kim, subject: 'nobody' }, ASKED), 'unknown_person');
  await access.database.query(`update daypass.people set closed_at = now() where subject = 'kim'`);
  await refused(t, access, () => access.requests.create(kim, ASKED), 'account_ended');
});

t.test('a sponsor is an employee whose account is open: the account’s, or another who is named', async (t) => {
  const access = await startAccess(t);
  await addPerson(access.database, 'lou', { sponsor: 'sam' });
  const [kim, eve] = [await access.as('kim'), await access.as('eve')];
  const asking = (sponsor: string) => () => access.requests.create(kim, { ...ASKED, sponsor });
  t.match(await asking('ada')(), { sponsor: 'ada' });
  await refused(t, access, asking('lou'), 'not_allowed');
  await refused(t, access, asking('kim'), 'not_allowed');
  await refused(t, access, asking('nobody'), 'unknown_person');
  t.match(await access.requests.create(eve, ASKED), { sponsor: null });
  await access.database.query(`update daypass.people set closed_at = now() where subject = 'sam'`);
  await refused(t, access, () => access.requests.create(kim, ASKED), 'not_allowed', /another sponsor/);
});

t.test('break-glass is for the roles the policy names, short, at once, and waits for a review', async (t) => {
  const access = await startAccess(t, { texts: [FULL] });
  const kim = await access.as('kim');
  const asking = (change: object) => () =>
    access.requests.create(kim, { ...ASKED, role: 'retrier', breakGlass: true, seconds: 1_800, ...change });
  await refused(t, access, asking({ role: 'viewer' }), 'not_requestable', /retrier/);
  await refused(t, access, asking({ seconds: 1_801 }), 'duration_exceeds_policy', /30m or less/);
  await refused(t, access, asking({ from: MONDAY + HOUR }), 'invalid_period');
  const made = await asking({})();
  t.match(made, { state: 'approved', kind: 'break_glass', needed: 0, reviewDue: MONDAY + DAY });
  t.match(access.events.at(-1), { act: 'request.create', request: { kind: 'break_glass' } });
  const { requests, as } = access;
  t.match((await requests.list(root, { unreviewed: true })).requests, [{ id: made.id }]);
  await refused(t, access, async () => requests.review(kim, made.id, { comment: 'fine' }), 'own_request');
  await refused(t, access, async () => requests.review(await as('eve'), made.id, { comment: 'fine' }), 'not_allowed');
  await refused(t, access, async () => requests.review(root, made.id, { comment: 'fine' }), 'not_allowed');
  t.match(await requests.review(await as('ada'), made.id, { comment: 'it was needed' }), { reviewedBy: 'ada' });
  await refused(
    t,
    access,
    async () => requests.review(await as('bob'), made.id, { comment: 'fine' }),
    'already_decided',
  );
  t.same((await requests.list(root, { unreviewed: true })).requests, []);
  const reviewing = async () => requests.review(await as('ada'), made.id, { comment: 'fine' });
  access.clock.now += 60_000;
  const begun = await requests.activate(kim, made.id);
  const waits = { reviewedAt: null, reviewedBy: null, review: null, reviewDue: access.clock.now + DAY };
  t.match(begun.request, waits, 'a look at what was not begun is none at what was done');
  t.match((await requests.list(root, { unreviewed: true })).requests, [{ id: made.id }]);
  await reviewing();
  t.match(await requests.renew(kim, made.id, { seconds: 60, reason: 'not done' }), waits, 'nor at what comes after it');
  await reviewing();
  t.match((await requests.activate(kim, made.id)).request, waits);
  const acts = (await requests.get(kim, made.id)).acts.map(({ act }) => act);
  t.same(acts, ['create', 'review', 'activate', 'review', 'renew', 'review', 'activate']);
});

t.test('an emergency is not kept ready for later', async (t) => {
  const access = await startAccess(t, { texts: [FULL.replace('approvals: 2', 'approvals: 2, clock: first_use')] });
  const kim = await access.as('kim');
  const asking = (to: number) => () =>
    access.requests.create(kim, { ...ASKED, role: 'retrier', breakGlass: true, seconds: 1_800, to });
  await refused(t, access, asking(MONDAY + DAY + 1_000), 'invalid_period', /end out/);
  t.match(await asking(MONDAY + DAY)(), { state: 'approved', endsAt: MONDAY + DAY });
});
