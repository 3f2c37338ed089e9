import t from 'tap';
import {
  checkBeginning,
  checkIssue,
  checkRenewal,
  checkReplacement,
  type GrantLimits,
  type IssueRequest,
  latestEnd,
  type Renewable,
} from '../../src/grant/limits.js';

const NOW = Date.parse('2026-11-29T12:00:00Z');
const HOUR = 3_600;
const POLICY: GrantLimits = {
  ...{ name: 'orders', lane: 'production', owner: 'group:leads', defaultRole: 'reader' },
  grants: { maxDurationSeconds: HOUR, maxRenewals: 1, maxTotalSeconds: 2 * HOUR },
  roles: new Map([['reader', {}]]),
  rulesOf: () => ['show', 'select'],
};
const ASKED: IssueRequest = {
  ...{ principal: 'alice', service: 'orders', durationSeconds: HOUR, sponsor: 'dana', reason: 'a task', by: 'ops' },
};
const GRANT: Renewable = {
  ...{ service: 'orders', role: 'reader', notBefore: NOW - 1_000, expiresAt: NOW + 1_000, renewals: 0 },
  ...{ revokedAt: null, suspendedAt: null },
};
const RENEWAL = { durationSeconds: 60, by: 'ops', reason: 'not done' };

t.test('a grant is asked for in words, by names that are there, and of rules that its role has', async (t) => {
  const { role, scope } = checkIssue({ ...ASKED, only: ['show', 'show'], groups: ['b', 'a', 'b'] }, POLICY);
  t.same([role, scope.only, scope.groups], ['reader', ['show'], ['b', 'a']]);
  const many = (count: number) => Array.from({ length: count }, (_, at) => `g${at}`);
  t.equal(checkIssue({ ...ASKED, groups: many(64) }, POLICY).scope.groups.length, 64);
  const invalid: readonly Partial<IssueRequest>[] = [
    ...[{ only: [] }, { only: Array.from({ length: 65 }, () => 'show') }, { groups: many(65) }, { groups: [''] }],
    ...[{ groups: ['x'.repeat(129)] }, { sponsor: ' ' }, { reason: 'a\nb' }, { reason: 'x'.repeat(501) }, { by: '' }],
    ...[{ request: 'one' }, { nda: 'one' }, { principal: 'Alice' }, { durationSeconds: 0 }, { durationSeconds: 1.5 }],
  ];
  for (const change of invalid)
    t.throws(() => checkIssue({ ...ASKED, ...change }, POLICY), { code: 'invalid_request' }, JSON.stringify(change));
  t.throws(() => checkIssue({ ...ASKED, only: ['delete'] }, POLICY), { code: 'unknown_rule' });
  t.throws(() => checkIssue({ ...ASKED, role: 'writer' }, POLICY), { code: 'unknown_role' });
  t.throws(() => checkIssue(ASKED, undefined), { code: 'unknown_service' });
  t.throws(() => checkIssue({ ...ASKED, durationSeconds: HOUR + 1 }, POLICY), { code: 'duration_exceeds_policy' });
});

t.test('a grant begins within a year, is not over by then, and has hours in which it may be used', async (t) => {
  const begins = (change: Partial<IssueRequest>) => {
    const asked = { ...ASKED, ...change };
    return () => checkBeginning(asked, checkIssue(asked, POLICY), NOW);
  };
  const YEAR = 366 * 24 * HOUR * 1_000;
  for (const notBefore of [undefined, NOW - HOUR * 1_000 + 1, NOW + YEAR])
    t.doesNotThrow(begins({ notBefore }), String(notBefore));
  for (const notBefore of [-1, Number.NaN, NOW - HOUR * 1_000, NOW + YEAR + 1])
    t.throws(begins({ notBefore }), { code: 'invalid_request' }, String(notBefore));
  t.doesNotThrow(begins({ window: 'Sun 12:30-13:00 UTC' }));
  t.throws(begins({ window: 'Sun 13:00-14:00 UTC' }), { code: 'invalid_request' }, 'they begin when it ends');
  const begun = { notBefore: NOW - HOUR * 500, window: 'Sun 11:00-12:00 UTC' };
  t.throws(begins(begun), { code: 'invalid_request' }, 'they are over by now');
});

t.test('a grant is renewed and replaced while it lasts, and within what its policy says now', async (t) => {
  const renews = (grant: Partial<Renewable>, change: object = {}, policy: GrantLimits | undefined = POLICY) =>
    checkRenewal({ ...RENEWAL, ...change }, { ...GRANT, ...grant }, policy, NOW);
  renews({});
  const others: GrantLimits = { ...POLICY, roles: new Map() };
  const acts = [(grant: Partial<Renewable>, change = {}, policy?: GrantLimits) => renews(grant, change, policy)];
  acts.push((grant, change = {}, policy = POLICY) =>
    checkReplacement({ ...RENEWAL, ...change }, { ...GRANT, ...grant }, policy, NOW),
  );
  for (const act of acts) {
    act({});
    t.throws(() => act({ revokedAt: NOW }), { code: 'revoked' });
    t.throws(() => act({ expiresAt: NOW }), { code: 'expired' });
    t.throws(() => act({ suspendedAt: NOW }), { code: 'suspended' });
    t.throws(() => act({}, {}, others), { code: 'unknown_role' });
    t.throws(() => act({}, { by: '' }), { code: 'invalid_request' });
    t.throws(() => act({}, { reason: ' ' }), { code: 'invalid_request' });
  }
  t.throws(() => checkRenewal(RENEWAL, GRANT, undefined, NOW), { code: 'unknown_service' });
  t.throws(() => checkReplacement(RENEWAL, GRANT, undefined, NOW), { code: 'unknown_service' });
  t.throws(() => renews({ renewals: 1 }), { code: 'renewals_exhausted' });
  t.throws(() => renews({}, { durationSeconds: HOUR + 1 }), { code: 'duration_exceeds_policy' });
  const late = { notBefore: NOW - 1_000 - HOUR * 1_000 };
  const whole = { notBefore: NOW + 1_000 - HOUR * 1_000 };
  renews(whole, { durationSeconds: HOUR });
  t.throws(() => renews(late, { durationSeconds: HOUR }), { code: 'total_exceeds_policy' });
  renews({}, { latestEnd: GRANT.expiresAt + 60_000 });
  t.throws(() => renews({}, { latestEnd: GRANT.expiresAt + 59_999 }), { code: 'end_too_late' });
  t.throws(() => renews({}, { latestEnd: Number.NaN }), { code: 'invalid_request' });
});

t.test('a tombstone stands as long as the grant could have been given by now', async (t) => {
  const end = NOW + 1_000;
  t.equal(latestEnd(POLICY, end, NOW), end + 2 * HOUR * 1_000);
  t.equal(latestEnd(POLICY, NOW - 1, NOW), NOW + 2 * HOUR * 1_000);
  const grants = { maxDurationSeconds: HOUR, maxRenewals: 3 };
  t.equal(latestEnd({ ...POLICY, grants }, end, NOW), end + 4 * HOUR * 1_000);
  const unknown = (366 + 90) * 24 * HOUR * 1_000;
  t.equal(latestEnd(undefined, end, NOW), end + unknown);
  t.equal(latestEnd(POLICY, undefined, NOW), NOW + unknown);
});
