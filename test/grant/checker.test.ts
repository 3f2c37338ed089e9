import t, { type Test } from 'tap';
import { GrantChecker, type PendingGate } from '../../src/grant/checker.js';
import { renewedClaims } from '../../src/grant/draft.js';
import type { Grant } from '../../src/grant/grant.js';
import { keyRing } from '../../src/grant/keys.js';
import { MemoryGrantStore } from '../../src/grant/memory.js';
import { mintToken } from '../../src/grant/mint.js';
import type { GrantStore } from '../../src/grant/store.js';
import { TokenVerifier } from '../../src/grant/verifier.js';
import { HandClock, REQUEST, signingKey, silent, startAuthority, startLedger } from './fixture.js';

const NOTHING_PENDING: PendingGate = { has: () => false, drain: async () => {} };

/** A checker as the authority has one, which can be asked of another store, and amid other revocations. */
async function startChecked(t: Test) {
  const clock = new HandClock();
  const { database, ledger } = await startLedger(t);
  const store = new MemoryGrantStore(clock);
  const key = signingKey();
  const authority = await startAuthority(t, { store, ledger, key, clock });
  const verifier = new TokenVerifier(keyRing(key));
  const checker = (over: { store?: GrantStore; pending?: PendingGate } = {}) =>
    new GrantChecker({ store, ledger, verifier, pending: NOTHING_PENDING, clock, log: silent, ...over });
  const check = (id: string, over = {}) => checker(over).check(id);
  const { grant } = await authority.issue(REQUEST);
  const renewed = async (of: Grant) => {
    const claims = renewedClaims(of, 60);
    return { token: await mintToken(claims, key), expiresAt: claims.exp * 1_000 };
  };
  return { clock, database, store, authority, check, grant, renewed };
}

t.test('B12: who is revoked while the answers are on their way is denied', async (t) => {
  const { check, grant } = await startChecked(t);
  let isRevoked = false;
  const pending = {
    has: () => isRevoked,
    drain: async () => {
      isRevoked = true; // behind the first question, and before the answers
    },
  };
  t.match(await check(grant.id, { pending }), { ok: false, reason: 'revoked' });
});

t.test('B12: a no of the ledger stands while the store cannot be asked', async (t) => {
  const { store, authority, check, grant } = await startChecked(t);
  const silentStore = Object.assign(Object.create(store), {
    get: async () => {
      throw new Error('no answer');
    },
  });
  t.match(await check(grant.id, { store: silentStore }), { ok: false, reason: 'store_unavailable' });
  await authority.revoke(grant.id, { by: 'root', reason: 'offboarded' });
  t.match(await check(grant.id, { store: silentStore }), { ok: false, reason: 'revoked' });
});

t.test(
  'of two tokens the later renewal of the ledger counts, and no earlier one, nor one of another grant',
  async (t) => {
    const { database, store, authority, check, grant, renewed } = await startChecked(t);
    const keep = ({ token, expiresAt }: { token: string; expiresAt: number }, renewals: number) =>
      database.query('update daypass.grants set token = $2, expires_at = $3, renewals = $4 where id = $1', [
        ...[grant.id, token, new Date(expiresAt), renewals],
      ]);
    const later = await renewed(grant);
    await keep(later, 1);
    t.match(await check(grant.id), { ok: true, grant: { renewals: 1, expiresAt: later.expiresAt } });
    t.match(await store.get(grant.id), { token: later.token }, 'the store has it now, too');
    await keep(grant, 0);
    t.match(await check(grant.id), { ok: false, reason: 'store_unavailable' }, 'a ledger that was set back');
    await keep(later, 1);
    const other = await authority.issue(REQUEST);
    await store.put(grant.id, other.grant.token, other.grant.expiresAt);
    t.match(await check(grant.id), { ok: false, reason: 'store_unavailable' }, 'the store holds another grant there');
  },
);

t.test('B12: a tombstone that comes between two answers that differ is a revocation', async (t) => {
  const { database, store, check, grant, renewed } = await startChecked(t);
  const { token, expiresAt } = await renewed(grant);
  await database.query('update daypass.grants set token = $2, expires_at = $3, renewals = 1 where id = $1', [
    ...[grant.id, token, new Date(expiresAt)],
  ]);
  const buried = Object.assign(Object.create(store), {
    get: (id: string) => store.get(id),
    put: async () => 'revoked',
  });
  t.match(await check(grant.id, { store: buried }), { ok: false, reason: 'revoked' });
});

t.test('a denial names the grant that it is about, and no other whose token stands in its place', async (t) => {
  const { database, authority, check, grant } = await startChecked(t);
  await authority.revoke(grant.id, { by: 'root', reason: 'offboarded' });
  t.match(await check(grant.id), { ok: false, reason: 'revoked', grant: { id: grant.id } });
  const other = await authority.issue({ ...REQUEST, principal: 'bob' });
  await database.query('update daypass.grants set token = $2 where id = $1', [grant.id, other.grant.token]);
  t.same(await check(grant.id).then((answer) => [answer.ok, answer.grant]), [false, undefined]);
});

t.test('the clocks may differ by 2 s, and by no millisecond more', async (t) => {
  const { clock, store, check, grant } = await startChecked(t);
  const told = (by: number) =>
    Object.assign(Object.create(store), {
      get: async (id: string) => ({ ...(await store.get(id)), now: clock.wall() + by }),
    });
  for (const by of [2_000, -2_000]) t.match(await check(grant.id, { store: told(by) }), { ok: true }, `${by}`);
  for (const by of [2_001, -2_001, Number.NaN])
    t.match(await check(grant.id, { store: told(by) }), { ok: false, reason: 'store_unavailable' }, `${by}`);
});
