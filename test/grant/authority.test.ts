import t from 'tap';
import { systemClock } from '../../src/clock.js';
import { parseHandle, secretMatches } from '../../src/grant/handle.js';
import { MemoryGrantStore } from '../../src/grant/memory.js';
import { RedisGrantStore } from '../../src/grant/redis.js';
import { startRedis } from '../support/redis.js';
import { HandClock, POLICY, REQUEST, signingKey, silent, startAuthority, startLedger } from './fixture.js';

const RENEWAL = { durationSeconds: 600, by: 'root', reason: 'not done yet' };
const REVOCATION = { by: 'root', reason: 'done early' };

t.test('an issued grant checks out, and its handle is the only place of its secret', async (t) => {
  const { database, ledger } = await startLedger(t);
  const authority = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger });
  const { grant, handle } = await authority.issue(REQUEST);
  const parsed = parseHandle(handle);
  t.equal(parsed?.id, grant.id);
  const check = await authority.check(grant.id);
  t.match(check, { ok: true, grant: { id: grant.id, principal: 'alice', role: 'reader', owner: 'group:leads' } });
  t.ok(check.ok && secretMatches(check.grant, parsed?.secret ?? ''));
  t.equal(grant.expiresAt - grant.issuedAt, 600_000);
  t.equal(grant.issuedAt % 1000, 0);
  const rows = await database.query(
    'select g::text from daypass.grants g union all select a::text from daypass.grant_acts a',
  );
  t.equal(rows.length, 2);
  const told = JSON.stringify([rows, await authority.show(grant.id), await authority.list()]);
  t.notMatch(told, parsed?.secret ?? 'no secret');
});

t.test(
  'a request outside the policy, or with a name or text that is not one, is refused and leaves nothing',
  async (t) => {
    const { ledger } = await startLedger(t);
    const authority = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger });
    const refused = async (change: object, code: string) =>
      t.rejects(authority.issue({ ...REQUEST, ...change }), { code }, ascii(change));
    await refused({ service: 'payroll' }, 'unknown_service');
    await refused({ service: '__proto__' }, 'unknown_service');
    await refused({ role: 'admin' }, 'unknown_role');
    await refused({ durationSeconds: 3_601 }, 'duration_exceeds_policy');
    for (const durationSeconds of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      await refused({ durationSeconds }, 'invalid_request');
    }
    for (const principal of ['', 'Alice', 'a+b', '-a', 'a b', 'a\n', 'ä', 'a'.repeat(129)]) {
      await refused({ principal }, 'invalid_request');
    }
    for (const text of ['', '  ', 'a\nb', 'a\u0000', '\u001b[2J', 'a\u2028b', '\ud800', 'x'.repeat(501)]) {
      await refused({ reason: text }, 'invalid_request');
      await refused({ sponsor: text }, 'invalid_request');
      await refused({ by: text }, 'invalid_request');
    }
    t.same(await authority.list(), []);
    await authority.issue({ ...REQUEST, role: 'order-editor', reason: 'é'.repeat(500), sponsor: '的'.repeat(500) });
  },
);

t.test('a grant ends at its exact instant', async (t) => {
  const clock = new HandClock();
  const { ledger } = await startLedger(t);
  const authority = await startAuthority(t, { store: new MemoryGrantStore(clock), ledger, clock });
  const { grant } = await authority.issue(REQUEST);
  clock.now = grant.expiresAt - 1;
  t.match(await authority.check(grant.id), { ok: true });
  clock.now = grant.expiresAt;
  t.match(await authority.check(grant.id), { ok: false, reason: 'expired' });
  await t.rejects(authority.renew(grant.id, RENEWAL), { code: 'expired' });
  t.match(await authority.show(grant.id), { state: 'expired' });
});

t.test('a renewal moves the end and keeps id and secret, as often as the policy says', async (t) => {
  const { ledger } = await startLedger(t);
  const authority = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger });
  const { grant, handle } = await authority.issue(REQUEST);
  const changed: string[] = [];
  authority.onChange((id) => changed.push(id));
  const renewed = await authority.renew(grant.id, RENEWAL);
  t.equal(renewed.expiresAt, grant.expiresAt + 600_000);
  t.same(changed, [grant.id]);
  const check = await authority.check(grant.id);
  t.match(check, { ok: true, grant: { id: grant.id, renewals: 1, expiresAt: renewed.expiresAt } });
  t.ok(check.ok && secretMatches(check.grant, parseHandle(handle)?.secret ?? ''));
  await t.rejects(authority.renew(grant.id, RENEWAL), { code: 'renewals_exhausted', message: /allows 1 renewal\.$/ });
  t.match(await authority.show(grant.id), {
    ...{ state: 'active', renewals: 1 },
    acts: [
      { act: 'issue', by: 'root' },
      { act: 'renew', reason: 'not done yet' },
    ],
  });
});

t.test('a renewal beyond the policy, or of what is not there, is refused', async (t) => {
  const { ledger } = await startLedger(t);
  const authority = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger });
  const { grant } = await authority.issue(REQUEST);
  await t.rejects(authority.renew(grant.id, { ...RENEWAL, durationSeconds: 3_601 }), {
    code: 'duration_exceeds_policy',
  });
  await t.rejects(authority.renew(grant.id, { ...RENEWAL, reason: '' }), { code: 'invalid_request' });
  await t.rejects(authority.renew('abcdefghijABCDEFGHIJ12', RENEWAL), { code: 'unknown_grant' });
  await authority.revoke(grant.id, REVOCATION);
  await t.rejects(authority.renew(grant.id, RENEWAL), { code: 'revoked' });
});

t.test('a revoked grant is denied at once and stays so; revoking again changes nothing', async (t) => {
  const { ledger } = await startLedger(t);
  const authority = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger });
  const { grant } = await authority.issue(REQUEST);
  t.same(await authority.revoke(grant.id, REVOCATION), { ledger: 'written', announced: true });
  t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
  t.same(await authority.revoke(grant.id, { by: 'other', reason: 'again' }), { ledger: 'written', announced: true });
  const shown = await authority.show(grant.id);
  t.match(shown, { state: 'revoked', acts: [{ act: 'issue' }, { act: 'revoke', by: 'root' }] });
  t.equal(shown.acts.length, 2);
  await t.rejects(authority.revoke(grant.id, { by: 'root', reason: '' }), { code: 'invalid_request' });
  await t.rejects(authority.revoke('abcdefghijABCDEFGHIJ12', REVOCATION), { code: 'unknown_grant' });
  await t.rejects(authority.revoke('../x', REVOCATION), { code: 'unknown_grant' });
});

t.test('what is no grant id, or none that was given, is denied', async (t) => {
  const { ledger } = await startLedger(t);
  const authority = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger });
  for (const id of ['', '*', 'a'.repeat(23), "' or 1=1", '{x}']) {
    t.match(await authority.check(id), { ok: false, reason: 'malformed' });
  }
  t.match(await authority.check('abcdefghijABCDEFGHIJ12'), { ok: false, reason: 'unknown_grant' });
});

t.test('grants are listed by person, service and whether they are in force, the newest first', async (t) => {
  const clock = new HandClock();
  const { ledger } = await startLedger(t);
  const authority = await startAuthority(t, { store: new MemoryGrantStore(clock), ledger, clock });
  const old = await authority.issue({ ...REQUEST, durationSeconds: 1 });
  clock.now += 2_000;
  const alices = await authority.issue(REQUEST);
  clock.now += 2_000;
  const bobs = await authority.issue({ ...REQUEST, principal: 'bob' });
  const ids = async (filter: object) => (await authority.list(filter)).map((view) => view.id);
  t.same(await ids({}), [bobs.grant.id, alices.grant.id, old.grant.id]);
  t.same(await ids({ principal: 'alice' }), [alices.grant.id, old.grant.id]);
  t.same(await ids({ active: true }), [bobs.grant.id, alices.grant.id]);
  await authority.revoke(bobs.grant.id, REVOCATION);
  t.same(await ids({ active: true, service: 'orders-db' }), [alices.grant.id]);
  t.same(await ids({ service: 'other' }), []);
});

t.test(
  'the in-process store is refilled from the ledger with what is live and validly signed, and nothing else',
  async (t) => {
    const { database, ledger } = await startLedger(t);
    const key = signingKey();
    const first = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger, key });
    const [live, revoked, forged] = [
      await first.issue(REQUEST),
      await first.issue(REQUEST),
      await first.issue(REQUEST),
    ];
    await first.revoke(revoked.grant.id, REVOCATION);
    await database.query('update daypass.grants set token = $2 where id = $1', [forged.grant.id, live.grant.token]);
    const next = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger, key });
    t.match(await next.check(live.grant.id), { ok: false, reason: 'unknown_grant' });
    t.equal(await next.refill(), 1);
    t.match(await next.check(live.grant.id), { ok: true });
    t.match(await next.check(revoked.grant.id), { ok: false, reason: 'revoked' });
    t.match(await next.check(forged.grant.id), { ok: false });
  },
);

t.test('B9: neither a writer of the store nor a writer of the ledger can widen or lengthen a grant', async (t) => {
  const { database, ledger } = await startLedger(t);
  const store = new MemoryGrantStore(systemClock);
  const authority = await startAuthority(t, { store, ledger });
  const foreign = await startAuthority(t, { store: new MemoryGrantStore(systemClock), ledger });
  const { grant } = await authority.issue(REQUEST);
  const forged = await foreign.issue({ ...REQUEST, role: 'order-editor' });
  await store.put(forged.grant.id, forged.grant.token, forged.grant.expiresAt);
  t.match(
    await authority.check(forged.grant.id),
    { ok: false, reason: 'malformed' },
    'both hold it, signed by another key',
  );
  await database.query(`update daypass.grants set expires_at = expires_at + interval '1 day' where id = $1`, [
    grant.id,
  ]);
  t.match(await authority.check(grant.id), { ok: false, reason: 'store_unavailable' }, 'the ledger says another end');
  await database.query('update daypass.grants set token = $2, renewals = 7 where id = $1', [
    grant.id,
    forged.grant.token,
  ]);
  t.match(await authority.check(grant.id), { ok: false, reason: 'store_unavailable' }, 'the two hold different tokens');
  await t.rejects(authority.renew(grant.id, RENEWAL), { code: 'grant_corrupt' });
});

t.test('two gateways that renew at once stay within the policy, and both see the same end', async (t) => {
  const server = await startRedis(t);
  const { ledger } = await startLedger(t);
  const key = signingKey();
  const open = async () => {
    const store = await RedisGrantStore.open(server.url, silent);
    t.teardown(() => store.close());
    return startAuthority(t, { store, ledger, key });
  };
  const [one, two] = [await open(), await open()];
  for (let round = 0; round < 10; round += 1) {
    const { grant } = await one.issue(REQUEST);
    const results = await Promise.allSettled([one.renew(grant.id, RENEWAL), two.renew(grant.id, RENEWAL)]);
    t.same(results.map((result) => result.status).sort(), ['fulfilled', 'rejected']);
    const end = grant.expiresAt + 600_000;
    t.match(await one.check(grant.id), { ok: true, grant: { renewals: 1, expiresAt: end } });
    t.match(await two.check(grant.id), { ok: true, grant: { renewals: 1, expiresAt: end } });
  }
});

t.test('B12: when a revocation races a renewal or a refill, revoked wins', async (t) => {
  const server = await startRedis(t);
  const { ledger } = await startLedger(t);
  const key = signingKey();
  const policy = { ...POLICY, grants: { maxDurationSeconds: 3_600, maxRenewals: 5 } };
  const open = async () => {
    const store = await RedisGrantStore.open(server.url, silent);
    t.teardown(() => store.close());
    return startAuthority(t, { store, ledger, key, policy });
  };
  const [one, two] = [await open(), await open()];
  for (let round = 0; round < 10; round += 1) {
    const { grant } = await one.issue(REQUEST);
    const acts = [
      one.renew(grant.id, RENEWAL),
      two.revoke(grant.id, REVOCATION),
      one.renew(grant.id, RENEWAL),
      two.refill(),
    ];
    const [, revocation] = await Promise.allSettled(acts);
    t.equal(revocation?.status, 'fulfilled');
    t.match(await one.check(grant.id), { ok: false, reason: 'revoked' });
    t.match(await two.check(grant.id), { ok: false, reason: 'revoked' });
    t.match(await one.show(grant.id), { state: 'revoked' });
  }
});

/** A test's name must not hold what it tests: a line separator would end the line. */
function ascii(change: object): string {
  return JSON.stringify(change)
    .replace(/[^ -~]/g, '?')
    .slice(0, 80);
}
