import { once } from 'node:events';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import type { GrantWatcher } from '../../src/grant/grant.js';
import { formatHandle, parseHandle, secretMatches } from '../../src/grant/handle.js';
import { latestEnd } from '../../src/grant/limits.js';
import { MemoryGrantStore } from '../../src/grant/memory.js';
import { RedisGrantStore } from '../../src/grant/redis.js';
import type { GrantStore } from '../../src/grant/store.js';
import { startGrantWatch } from '../../src/grant/watch.js';
import { freshDatabase, startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { HandClock, POLICY, REQUEST, signingKey, silent, startAuthority, startLedger } from './fixture.js';

const ACT = { by: 'root', reason: 'the sponsor left' };
const RENEWAL = { durationSeconds: 600, by: 'root', reason: 'not done yet' };
const REQUESTED = {
  groups: ['payments', 'on-call, first line'],
  request: '01990000-0000-7000-8000-000000000001',
  nda: '01990000-0000-7000-8000-000000000002',
  window: 'Mon–Sun 00:00–24:00 Europe/Berlin',
  only: ['show'],
};
const SAID = { ...REQUESTED, window: 'Mon-Sun 00:00-24:00 Europe/Berlin' };

async function inProcess(t: Test, clock = new HandClock(), policy = POLICY) {
  const { ledger, database } = await startLedger(t);
  const authority = await startAuthority(t, { store: new MemoryGrantStore(clock), ledger, clock, policy });
  return { ledger, database, authority, clock };
}

t.test('what a request, an NDA, hours and a narrower scope say is signed, and a renewal carries it on', async (t) => {
  const { authority } = await inProcess(t);
  const { grant } = await authority.issue({ ...REQUEST, ...REQUESTED });
  t.match(grant, SAID);
  t.match(await authority.renew(grant.id, RENEWAL), { ...SAID, renewals: 1 });
  t.match(await authority.check(grant.id), { ok: true, grant: { ...SAID, renewals: 1 } });
  const plain = await authority.issue(REQUEST);
  t.match(plain.grant, { groups: [], request: null, nda: null, window: null, only: null });
  t.notMatch(
    Object.keys(JSON.parse(Buffer.from(plain.grant.token.split('.')[1] ?? '', 'base64url').toString())),
    'only',
  );
});

t.test('a request for what cannot be granted is refused with the mend', async (t) => {
  const { authority, clock } = await inProcess(t);
  const refused = (change: object, code: string, hint?: RegExp) =>
    t.rejects(
      authority.issue({ ...REQUEST, ...change }),
      { code, ...(hint && { hint }) },
      JSON.stringify(change).slice(0, 80),
    );
  await refused({ only: ['show', 'delete on public.orders'] }, 'unknown_rule', /"select on public.orders", "show"/);
  await refused({ only: [] }, 'invalid_request');
  await refused({ role: 'order-editor', only: ['show'] }, 'unknown_rule');
  await refused({ window: 'Mon-Fri 09:00-18:00 Europe/Atlantis' }, 'invalid_request', /IANA/);
  await refused({ groups: new Array(65).fill('a') }, 'invalid_request');
  await refused({ groups: ['a'.repeat(129)] }, 'invalid_request');
  await refused({ groups: ['a\nb'] }, 'invalid_request');
  await refused({ request: 'REQ-1' }, 'invalid_request');
  await refused({ nda: '' }, 'invalid_request');
  await refused({ notBefore: clock.now - 600_001 }, 'invalid_request');
  await refused({ notBefore: clock.now + 367 * 86_400_000 }, 'invalid_request');
  await refused({ notBefore: Number.NaN }, 'invalid_request');
  const monday = Date.parse('2026-11-30T06:00:00Z');
  clock.now = monday - 3_600_000;
  await refused({ notBefore: monday, window: 'Tue 09:00-18:00 UTC' }, 'invalid_request', /other hours/);
  clock.now = monday + 300_000;
  await refused({ notBefore: monday, window: 'Mon 06:00-06:04 UTC' }, 'invalid_request', /other hours/);
  t.same(await authority.list(), []);
});

t.test('a grant that begins later is refused until its very millisecond, and lasts from then on', async (t) => {
  const { authority, clock } = await inProcess(t);
  const notBefore = (Math.floor(clock.now / 1000) + 3_600) * 1000;
  const { grant } = await authority.issue({ ...REQUEST, notBefore });
  t.match(grant, { notBefore, expiresAt: notBefore + 600_000 });
  const { grant: within } = await authority.issue({ ...REQUEST, notBefore: notBefore + 1 });
  t.match(within, { notBefore: notBefore + 1_000, expiresAt: notBefore + 600_000 }, 'neither before, nor for longer');
  clock.now = notBefore - 1;
  t.match(await authority.check(grant.id), { ok: false, reason: 'not_yet', grant: { id: grant.id } });
  t.match(await authority.show(grant.id), { state: 'not_yet' });
  clock.now = notBefore;
  t.match(await authority.check(grant.id), { ok: true });
});

t.test('hours are judged at each check: outside of them the message says when they begin', async (t) => {
  const { authority, clock } = await inProcess(t);
  clock.now = Date.parse('2026-11-30T07:59:00Z');
  const { grant } = await authority.issue({ ...REQUEST, window: 'Mon 09:00-09:05 Europe/Berlin' });
  t.match(await authority.check(grant.id), {
    ...{ ok: false, reason: 'outside_hours', grant: { id: grant.id } },
    message: 'This grant is for Mon 09:00-09:05 Europe/Berlin; it opens next on Mon 2026-11-30 09:00 Europe/Berlin.',
  });
  clock.now = Date.parse('2026-11-30T08:00:00Z');
  t.match(await authority.check(grant.id), { ok: true });
  clock.now = Date.parse('2026-11-30T08:05:00Z');
  t.match(await authority.check(grant.id), { ok: false, reason: 'outside_hours', message: /does not open again/ });
});

t.test('renewals end where the policy, an account or an NDA ends, and the error says what is left', async (t) => {
  const policy = { ...POLICY, grants: { maxDurationSeconds: 600, maxRenewals: 9, maxTotalSeconds: 1_500 } };
  const { authority } = await inProcess(t, new HandClock(), policy);
  const { grant } = await authority.issue(REQUEST);
  const latestEnd = grant.expiresAt + 300_000;
  const beyond = { code: 'end_too_late', hint: 'At most 5m are left.' };
  await t.rejects(authority.renew(grant.id, { ...RENEWAL, latestEnd }), beyond);
  await t.rejects(authority.renew(grant.id, { ...RENEWAL, latestEnd: Number.NaN }), { code: 'invalid_request' });
  t.equal((await authority.renew(grant.id, { ...RENEWAL, durationSeconds: 300, latestEnd })).expiresAt, latestEnd);
  const total = { code: 'total_exceeds_policy', message: /at most 25m in all/, hint: 'At most 10m are left.' };
  await t.rejects(authority.renew(grant.id, { ...RENEWAL, durationSeconds: 601 }), { code: 'duration_exceeds_policy' });
  await authority.renew(grant.id, { ...RENEWAL, durationSeconds: 1 });
  await t.rejects(authority.renew(grant.id, RENEWAL), { ...total, hint: 'At most 599s are left.' });
  await authority.renew(grant.id, { ...RENEWAL, durationSeconds: 599 });
  await t.rejects(authority.renew(grant.id, { ...RENEWAL, durationSeconds: 1 }), { code: 'total_exceeds_policy' });
});

t.test('a tombstone outlives whatever the grant could become', async (t) => {
  const now = 1_000_000_000_000;
  const day = 86_400_000;
  const policy = { ...POLICY, grants: { maxDurationSeconds: 3_600, maxRenewals: 3, maxTotalSeconds: 7_200 } };
  t.equal(latestEnd(policy, now + 30 * day, now), now + 30 * day + 7_200_000, 'it begins in a month');
  t.equal(latestEnd(POLICY, now + 5, now), now + 5 + 7_200_000);
  t.ok(latestEnd(policy, undefined, now) > now + 366 * day + 7_200_000, 'nothing is known: it may begin in a year');
  t.ok(latestEnd(undefined, now + 366 * day, now) > now + 367 * day);
});

t.test('one grant takes the place of another: the same until the same end, under a handle of its own', async (t) => {
  const { authority } = await inProcess(t, new HandClock(), {
    ...POLICY,
    grants: { maxDurationSeconds: 3_600, maxRenewals: 1 },
  });
  const first = await authority.issue({ ...REQUEST, ...REQUESTED });
  const renewed = await authority.renew(first.grant.id, RENEWAL);
  const changed: string[] = [];
  authority.onChange((id) => changed.push(id));
  const { grant, handle } = await authority.replace(first.grant.id, { by: 'alice', reason: 'the handle was lost' });
  const { id, token, confirmation, scram, issuedAt, ...same } = renewed;
  t.match(grant, same);
  t.notOk(grant.id === id || grant.token === token || grant.scram === scram);
  t.ok(secretMatches(grant, parseHandle(handle)?.secret ?? ''));
  t.notOk(secretMatches(grant, parseHandle(first.handle)?.secret ?? ''));
  t.equal(handle, formatHandle({ id: grant.id, secret: parseHandle(handle)?.secret ?? '' }));
  t.match(await authority.check(grant.id), { ok: true, grant: { renewals: 1 } });
  t.match(await authority.check(id), { ok: false, reason: 'revoked' });
  t.same(changed, [id]);
  t.match((await authority.show(id)).acts.at(-1), {
    act: 'revoke',
    reason: `replaced by ${grant.id}: the handle was lost`,
  });
  t.match((await authority.show(grant.id)).acts, [{ act: 'replace', by: 'alice' }]);
  await t.rejects(authority.renew(grant.id, RENEWAL), { code: 'renewals_exhausted' }, 'no renewal is won by it');
});

t.test('what is over, revoked or suspended is not replaced, and a store that is gone changes nothing', async (t) => {
  const redis = await startRedis(t);
  const { ledger } = await startLedger(t);
  const store = await RedisGrantStore.open(redis.url, silent);
  t.teardown(() => store.close());
  const authority = await startAuthority(t, { store, ledger });
  const [one, two, three] = [
    await authority.issue(REQUEST),
    await authority.issue(REQUEST),
    await authority.issue(REQUEST),
  ];
  await authority.revoke(one.grant.id, ACT);
  await authority.suspend(two.grant.id, ACT);
  await t.rejects(authority.replace(one.grant.id, ACT), { code: 'revoked' });
  await t.rejects(authority.replace(two.grant.id, ACT), { code: 'suspended' });
  await t.rejects(authority.replace('abcdefghijABCDEFGHIJ12', ACT), { code: 'unknown_grant' });
  await t.rejects(authority.replace(three.grant.id, { by: 'alice', reason: '' }), { code: 'invalid_request' });
  await redis.kill();
  await t.rejects(authority.replace(three.grant.id, ACT), { code: 'store_unavailable' });
  await redis.restart();
  t.match(await authority.show(three.grant.id), { state: 'active', acts: [{ act: 'issue' }] });
  t.equal((await authority.list()).length, 3);
});

t.test('two who replace the same grant at once get one grant between them', async (t) => {
  const { authority } = await inProcess(t);
  const { grant } = await authority.issue(REQUEST);
  const results = await Promise.allSettled([authority.replace(grant.id, ACT), authority.replace(grant.id, ACT)]);
  t.same(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  t.equal((await authority.list({ active: true })).length, 1);
});

t.test(
  'whoever revokes a grant revokes what took its place, also meanwhile, and also a revocation that waited',
  async (t) => {
    const { authority, ledger, clock } = await inProcess(t);
    const live = () => authority.list({ active: true });
    const one = await authority.issue(REQUEST);
    const two = await authority.replace(one.grant.id, ACT);
    const three = await authority.replace(two.grant.id, ACT);
    t.same(await authority.revoke(one.grant.id, ACT), { ledger: 'written', announced: true });
    t.match(await authority.check(three.grant.id), { ok: false, reason: 'revoked' });
    for (let round = 0; round < 5; round += 1) {
      const { grant } = await authority.issue(REQUEST);
      await Promise.allSettled([authority.replace(grant.id, ACT), authority.revoke(grant.id, ACT)]);
      t.same(await live(), [], 'whichever comes first');
    }
    const { grant } = await authority.issue(REQUEST);
    const waiting = `${JSON.stringify({ id: grant.id, at: clock.now, by: 'root', reason: 'lost' })}\n`;
    const dataDirectory = t.testdir({ 'pending-revocations': waiting });
    const other = await startAuthority(t, { store: new MemoryGrantStore(clock), ledger, clock, dataDirectory });
    await authority.replace(grant.id, ACT);
    await other.drainPending();
    t.same(await live(), []);
    const kept = await authority.issue(REQUEST);
    const mine = await authority.issue(REQUEST);
    for (let times = 0; times < 2; times += 1)
      await authority.revoke(mine.grant.id, { by: 'root', reason: `replaced by ${kept.grant.id}: x` });
    t.match(await live(), [{ id: kept.grant.id }], 'words alone do not make it another’s place');
  },
);

/** What a suspension is, whatever the store is made of. */
function suspension(name: string, open: (t: Test) => Promise<GrantStore>): void {
  t.test(`${name}: a suspended grant lets nobody in, and the same handle does again when it is resumed`, async (t) => {
    const { ledger } = await startLedger(t);
    const authority = await startAuthority(t, { store: await open(t), ledger });
    const { grant } = await authority.issue(REQUEST);
    const changed: string[] = [];
    authority.onChange((id) => changed.push(id));
    await authority.suspend(grant.id, ACT);
    await authority.suspend(grant.id, ACT);
    t.match(await authority.check(grant.id), { ok: false, reason: 'suspended', grant: { id: grant.id } });
    t.match(await authority.show(grant.id), {
      state: 'suspended',
      acts: [{ act: 'issue' }, { act: 'suspend', ...ACT }],
    });
    await t.rejects(authority.renew(grant.id, RENEWAL), { code: 'suspended' });
    t.match(await authority.list({ active: true }), [{ state: 'suspended' }], 'whoever revokes everything finds it');
    await authority.resume(grant.id, ACT);
    await authority.resume(grant.id, ACT);
    t.match(await authority.check(grant.id), { ok: true });
    t.match(
      (await authority.show(grant.id)).acts.map(({ act }) => act),
      ['issue', 'suspend', 'resume'],
    );
    t.same(changed, [grant.id, grant.id]);
  });

  t.test(`${name}: B12: a suspended grant that is revoked stays so`, async (t) => {
    const { ledger } = await startLedger(t);
    const authority = await startAuthority(t, { store: await open(t), ledger });
    const { grant } = await authority.issue(REQUEST);
    await authority.suspend(grant.id, ACT);
    await authority.revoke(grant.id, ACT);
    t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
    await t.rejects(authority.resume(grant.id, ACT), { code: 'revoked' });
    await authority.suspend(grant.id, ACT);
    t.match(await authority.show(grant.id), { state: 'revoked' });
    t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
  });

  t.test(`${name}: of a resumption and a revocation at once the revocation holds`, async (t) => {
    const { ledger } = await startLedger(t);
    const authority = await startAuthority(t, { store: await open(t), ledger });
    for (let round = 0; round < 10; round += 1) {
      const { grant } = await authority.issue(REQUEST);
      await authority.suspend(grant.id, ACT);
      await Promise.allSettled([authority.resume(grant.id, ACT), authority.revoke(grant.id, ACT)]);
      t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
    }
  });
}

suspension('in process', async () => new MemoryGrantStore(systemClock));
const redis = startRedis(t);
suspension('Redis', async (t) => {
  const store = await RedisGrantStore.open((await redis).url, silent);
  t.teardown(() => store.close());
  return store;
});

t.test('a suspended grant ends where it would have ended, and is not resumed after that', async (t) => {
  const { authority, clock } = await inProcess(t);
  const { grant } = await authority.issue(REQUEST);
  await authority.suspend(grant.id, ACT);
  clock.now = grant.expiresAt;
  t.match(await authority.check(grant.id), { ok: false, reason: 'expired' });
  await t.rejects(authority.resume(grant.id, ACT), { code: 'expired' });
  await t.rejects(authority.suspend('abcdefghijABCDEFGHIJ12', ACT), { code: 'unknown_grant' });
  await t.rejects(authority.suspend(grant.id, { by: 'root', reason: '' }), { code: 'invalid_request' });
});

t.test('a restart does not forget a suspension, nor the grant that it holds back', async (t) => {
  const { ledger } = await startLedger(t);
  const key = signingKey();
  const first = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger, key });
  const { grant } = await first.issue(REQUEST);
  await first.suspend(grant.id, ACT);
  const next = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger, key });
  t.equal(await next.refill(), 1);
  t.match(await next.check(grant.id), { ok: false, reason: 'suspended' });
  await next.resume(grant.id, ACT);
  t.match(await next.check(grant.id), { ok: true });
});

t.test(
  'B13: with the store gone the ledger still says that a grant is suspended; with the ledger silent nothing opens',
  async (t) => {
    const redis = await startRedis(t);
    const postgres = await startPostgres(t);
    const { ledger } = await startLedger(t, await freshDatabase(t, postgres));
    const store = await RedisGrantStore.open(redis.url, silent);
    t.teardown(() => store.close());
    const authority = await startAuthority(t, { store, ledger });
    const { grant } = await authority.issue(REQUEST);
    await authority.suspend(grant.id, ACT);
    await redis.kill();
    t.match(await authority.check(grant.id), { ok: false, reason: 'suspended' });
    await redis.restart();
    await postgres.pause();
    t.match(await authority.check(grant.id), { ok: false, reason: 'store_unavailable' });
    await t.rejects(authority.resume(grant.id, ACT), { code: 'ledger_unavailable' });
    await postgres.resume();
    t.match(await authority.show(grant.id), { state: 'suspended' });
  },
);

t.test('with a deaf feed the ledger tells of a suspension within its next round', async (t) => {
  const { ledger, database } = await startLedger(t);
  const store = new MemoryGrantStore(systemClock);
  const authority = await startAuthority(t, { store, ledger });
  const { grant } = await authority.issue(REQUEST);
  const told = new EventTarget();
  const watcher: GrantWatcher = {
    heldIds: () => [grant.id],
    recheck: (id) => void told.dispatchEvent(new Event(id)),
    over: (id, reason) => void told.dispatchEvent(new Event(`${id} ${reason}`)),
    stands: (id) => void told.dispatchEvent(new Event(id)),
    known: () => {},
    stale: () => {},
    tick: () => {},
  };
  const watch = await startGrantWatch({ store, ledger, watcher, staleness: 15_000, clock: systemClock, log: silent });
  t.teardown(() => watch.stop());
  await once(told, grant.id); // seen for the first time
  const suspended = once(told, `${grant.id} suspended`);
  await database.query('update daypass.grants set suspended_at = now() where id = $1', [grant.id]);
  await suspended;
});
