import t, { type Test } from 'tap';
import { openAccessRequests } from '../../src/access/engagements.js';
import { standingOf } from '../../src/access/review-usage.js';
import { IndexWriter } from '../../src/recording/index.js';
import { quiet, safe, open as sessionOf, startRecorder } from '../recording/fixture.js';
import { type Access, activated, addPerson, DAY, HOUR, MONDAY, root, serviceText, startAccess } from './fixture.js';

const LONG = serviceText({ grants: 'max_duration: 55d, max_renewals: 0' });
const FIFTY = { seconds: (50 * DAY) / 1000 };

/** Access of kim's that lasts fifty days, and what its owners do with it. */
async function lasting(t: Test, wrap?: Parameters<typeof startAccess>[1]) {
  const access = await startAccess(t, { texts: [LONG], ...wrap });
  const { request, grant } = await activated(access, FIFTY);
  const reviews = async (all = false) => (await access.reviews.list(root, { all, limit: 100 })).reviews;
  const after = async (milliseconds: number) => {
    access.clock.now = MONDAY + milliseconds;
    await access.reviews.sweep();
    return reviews();
  };
  const state = async () => (await access.requests.get(root, request.id)).state;
  return { access, request, grant, reviews, after, state };
}

/** One session of a grant, with the rules that allowed what it did. */
async function used(t: Test, { pool }: Access, grantId: string, rules: readonly string[]): Promise<void> {
  const index = new IndexWriter({ pool, log: quiet });
  const { recorder } = await startRecorder(t, pool, { listen: index.listen });
  const log = sessionOf(recorder, { grantId, service: 'orders-web', principal: 'kim' });
  for (const rule of rules) log.append('action', { verb: 'GET', on: ['/'], outcome: 'allow', rule }, {});
  log.append('action', { verb: 'POST', on: ['/'], outcome: 'deny', rule: 'no rule', reason: 'out_of_scope' }, {});
  await safe(log);
  await index.close();
}

t.test('access that lasts is reviewed after a week and every thirty days; what is shorter never is', async (t) => {
  const { access, request, after } = await lasting(t);
  await activated(access, { seconds: (6 * DAY) / 1000 });
  t.same(await after(7 * DAY - 1), []);
  t.match(await after(7 * DAY), [{ request: request.id, principal: 'kim', dueAt: MONDAY + 14 * DAY, answer: null }]);
  const use = { granted: 2, used: 0 };
  t.match(access.notices, [{ kind: 'review.due', to: { group: 'group:leads' }, data: { person: 'kim', ...use } }]);
  const [review] = await after(8 * DAY);
  await access.reviews.answer(await access.as('ada'), review?.id ?? '', 'confirm', 'the migration goes on');
  t.same(await after(37 * DAY - 1), []);
  t.match(await after(37 * DAY), [{ request: request.id, answer: null }]);
});

t.test('a review says what is unused, and what is wider than used', async (t) => {
  const { access, grant, after } = await lasting(t);
  const [unused] = await after(7 * DAY);
  t.match(unused, { granted: ['GET /', 'GET /orders'], used: [], sessions: 0 });
  t.equal(unused && standingOf(unused), 'unused');
  await used(t, access, grant.id, ['GET /orders']);
  const [wider] = await after(7 * DAY);
  t.match(wider, { used: ['GET /orders'], sessions: 1 });
  t.equal(wider && standingOf(wider), 'wider');
  const again = await access.requests.activate(await access.as('kim'), String(wider?.request));
  await used(t, access, again.grant.id, ['viewer: GET /; GET /orders']);
  const [all] = await after(7 * DAY);
  t.match(all, { used: ['GET /', 'GET /orders'], sessions: 2 }, 'a new handle is the same access, judged as a whole');
  t.equal(all && standingOf(all), 'used');
});

t.test(
  'an owner ends access at its review; nobody else answers, nobody for themselves, and nobody twice',
  async (t) => {
    const { access, after, reviews, state } = await lasting(t);
    const [review] = await after(7 * DAY);
    const id = review?.id ?? '';
    const answer = async (by: string, what: 'confirm' | 'end' = 'confirm') =>
      access.reviews.answer(await access.as(by), id, what, 'it is done');
    await t.rejects(answer('eve'), { code: 'not_allowed' });
    await access.database.query(`update daypass.people set groups = '{leads}' where subject = 'kim'`);
    await t.rejects(answer('kim'), { code: 'own_request' }, 'also in the owner’s group');
    await t.rejects(access.reviews.answer(root, id, 'confirm', 'fine'), { code: 'not_allowed' }, 'a person’s to say');
    t.equal(await state(), 'activated');
    t.match(await answer('ada', 'end'), { answer: 'end', answeredBy: 'ada', endedAt: access.clock.now });
    t.equal(await state(), 'revoked');
    await t.rejects(answer('bob'), { code: 'already_decided' });
    t.match(access.notices.at(-1), { kind: 'review.ended', to: { people: ['kim'], group: 'group:leads' } });
    t.same(await reviews(), []);
    t.match(
      (await access.audited()).filter(({ act, result }) => act === 'review.end' && result === 'done'),
      [{ actor: 'ada', target: `review:${id}`, reason: 'it is done' }],
    );
  },
);

t.test('B14: nobody confirms access of a contractor they answer for, nor does a contractor of theirs', async (t) => {
  const { access, request, after } = await lasting(t);
  await addPerson(access.database, 'cy', { sponsor: 'kim', groups: ['leads'] });
  await addPerson(access.database, 'del', { sponsor: 'sam', groups: ['leads'] });
  const [{ id = '' } = {}] = await after(7 * DAY);
  const answer = async (by: string, what: 'confirm' | 'end') =>
    access.reviews.answer(await access.as(by), id, what, 'they are good');
  await t.rejects(answer('sam', 'confirm'), { code: 'sponsored_by_you' });
  await t.rejects(answer('del', 'confirm'), { code: 'not_allowed' }, 'sam can log in as them');
  await t.rejects(answer('cy', 'confirm'), { code: 'not_allowed' }, 'and kim as them');
  await access.database.query(`update daypass.people set sponsor = 'ada' where subject = 'kim'`);
  await t.rejects(
    answer('sam', 'confirm'),
    { code: 'sponsored_by_you' },
    'who did at the time the access was given, too',
  );
  t.match(await answer('sam', 'end'), { answer: 'end', request: request.id }, 'that it is over they may say');
});

t.test('a review that nobody answers until its date ends the access at it, once for all gateways', async (t) => {
  const { access, request, after, reviews, state } = await lasting(t);
  const other = openAccessRequests(access.parts);
  t.teardown(() => other.stop());
  access.clock.now = MONDAY + 7 * DAY;
  await Promise.all([access.reviews.sweep(), other.reviews.sweep()]);
  t.equal((await reviews()).length, 1, 'two gateways open one');
  await after(14 * DAY - 1);
  t.equal(await state(), 'activated');
  access.clock.now = MONDAY + 14 * DAY;
  const [review] = await reviews();
  const late = access.reviews.answer(await access.as('ada'), review?.id ?? '', 'confirm', 'still needed');
  await t.rejects(late, { code: 'too_late' });
  await Promise.all([access.reviews.sweep(), other.reviews.sweep()]);
  t.equal(await state(), 'revoked');
  t.match(await reviews(true), [{ answer: 'unanswered', endedAt: access.clock.now }]);
  t.equal(access.notices.filter(({ kind }) => kind === 'review.ended').length, 1);
  const { acts } = await access.requests.get(root, request.id);
  t.match(acts.at(-1), { act: 'revoke', reason: /^nobody answered the review/ });
  const ends = (await access.audited()).filter(({ act }) => act === 'review.end');
  t.match(ends, [{ actor: 'daypass', via: 'system', result: 'done' }]);
  t.equal(ends.length, 1);
});

t.test('a grant that an operator issued is reviewed too', async (t) => {
  const { access, after } = await lasting(t);
  const asked = { service: 'orders-web', principal: 'eve', sponsor: 'sam', reason: 'a test', by: 'root' };
  const { grant } = await access.authority.issue({ ...asked, durationSeconds: (50 * DAY) / 1000 });
  const review = (await after(7 * DAY)).find(({ principal }) => principal === 'eve');
  t.match(review, { request: null, grant: grant.id });
  await access.reviews.answer(await access.as('bob'), review?.id ?? '', 'end', 'the test is over');
  t.equal((await access.authority.show(grant.id)).state, 'revoked');
});

t.test('access that ended meanwhile is nobody’s to answer for', async (t) => {
  const { access, request, after, reviews } = await lasting(t);
  await after(7 * DAY);
  await access.requests.giveBack(await access.as('kim'), request.id, 'done early');
  t.same(await after(7 * DAY + HOUR), []);
  t.match(await reviews(true), [{ answer: 'over' }]);
});

t.test('what could not be ended at once is ended by the next sweep', async (t) => {
  let down = false;
  const { access, after, reviews, state } = await lasting(t, {
    wrap: (grants) => ({
      ...{ issue: (asked) => grants.issue(asked), replace: (id, act) => grants.replace(id, act) },
      ...{ renew: (id, asked) => grants.renew(id, asked), show: (id) => grants.show(id) },
      ...{ suspend: (id, act) => grants.suspend(id, act), resume: (id, act) => grants.resume(id, act) },
      revoke: (id, act) => (down ? Promise.reject(new Error('no store')) : grants.revoke(id, act)),
    }),
  });
  const [review] = await after(7 * DAY);
  down = true;
  const ended = await access.reviews.answer(await access.as('ada'), review?.id ?? '', 'end', 'it is done');
  t.match(ended, { answer: 'end', endedAt: null });
  t.equal(await state(), 'activated');
  down = false;
  await access.reviews.sweep();
  t.equal(await state(), 'revoked');
  t.match(await reviews(true), [{ answer: 'end', endedAt: access.clock.now }]);
});
