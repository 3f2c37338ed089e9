import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MemoryGrantStore } from '../../src/grant/memory.js';
import { PendingRevocations } from '../../src/grant/pending.js';
import { RedisGrantStore } from '../../src/grant/redis.js';
import { commitsGoOn, commitsWait } from '../recording/fixture.js';
import { freshDatabase, startPostgres } from '../support/postgres.js';
import { redisClient, startRedis } from '../support/redis.js';
import { answers, HandClock, REQUEST, signingKey, silent, startAuthority, startLedger } from './fixture.js';

const REVOCATION = { by: 'root', reason: 'offboarded' };
const RENEWAL = { durationSeconds: 60, by: 'root', reason: 'a little more' };

/** A gateway's grants on servers of the test's own, which it may stop. */
async function gateway(t: Test) {
  const redis = await startRedis(t);
  const postgres = await startPostgres(t);
  const { ledger, database } = await startLedger(t, await freshDatabase(t, postgres));
  const key = signingKey();
  const dataDirectory = t.testdir();
  const open = async (at = dataDirectory) => {
    const store = await RedisGrantStore.open(redis.url, silent);
    t.teardown(() => store.close());
    return { store, authority: await startAuthority(t, { store, ledger, key, dataDirectory: at }) };
  };
  return { redis, postgres, ledger, database, dataDirectory, open, ...(await open()) };
}

t.test('B12: a Redis that forgets everything, the revocation too, brings no grant back', async (t) => {
  const { redis, authority, store } = await gateway(t);
  const [live, revoked] = [await authority.issue(REQUEST), await authority.issue(REQUEST)];
  await authority.revoke(revoked.grant.id, REVOCATION);
  await redisClient(t, redis).flushall();
  t.match(await authority.check(revoked.grant.id), { ok: false, reason: 'revoked' });
  await store.put(revoked.grant.id, revoked.grant.token, revoked.grant.expiresAt);
  t.match(await authority.check(revoked.grant.id), { ok: false, reason: 'revoked' }, 'the ledger denies');
  t.match(await authority.check(live.grant.id), { ok: false, reason: 'unknown_grant' }, 'a lost grant is not made up');
  await authority.renew(live.grant.id, RENEWAL);
  t.match(await authority.check(live.grant.id), { ok: true }, 'its renewal puts it back');
});

t.test('B13: a store or a ledger that is silent or gone is a denial in time', async (t) => {
  const { redis, postgres, authority } = await gateway(t);
  const { grant } = await authority.issue(REQUEST);
  const denied = async (what: string) =>
    t.match(await authority.check(grant.id), { ok: false, reason: 'store_unavailable' }, what);
  redis.pause();
  await denied('Redis silent');
  redis.resume();
  await postgres.pause();
  await denied('Postgres silent');
  await postgres.resume();
  await postgres.crash();
  await denied('Postgres gone');
  await postgres.restart();
  t.match(await authority.check(grant.id), { ok: true });
  await redis.kill();
  await denied('Redis gone');
});

t.test(
  'B12: a revocation made while Postgres is down holds everywhere, and reaches the ledger before anyone is admitted',
  async (t) => {
    const { postgres, database, authority, open, dataDirectory } = await gateway(t);
    const { authority: elsewhere } = await open(join(dataDirectory, 'elsewhere'));
    const { grant } = await authority.issue(REQUEST);
    const other = await authority.issue(REQUEST);
    await postgres.crash();
    const changed: string[] = [];
    authority.onChange((id) => changed.push(id));
    t.same(await authority.revoke(grant.id, REVOCATION), { ledger: 'queued', announced: true });
    t.same(changed, [grant.id], 'this gateway cuts at once');
    t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' }, 'known here without the ledger');
    const file = join(dataDirectory, 'pending-revocations');
    t.match(readFileSync(file, 'utf8'), grant.id);
    t.equal(statSync(file).mode & 0o777, 0o600);
    await postgres.restart();
    t.match(await elsewhere.check(grant.id), { ok: false, reason: 'revoked' }, 'the tombstone denies elsewhere');
    t.match(await authority.check(other.grant.id), { ok: true }, 'the next admission drains first');
    t.same(
      await database.query('select act, by from daypass.grant_acts where grant_id = $1 order by seq', [grant.id]),
      [
        { act: 'issue', by: 'root' },
        { act: 'revoke', by: 'root' },
      ],
    );
    t.equal(readFileSync(file, 'utf8'), '');
  },
);

t.test('B12: with both down the revocation is kept here, survives a restart, and reaches both', async (t) => {
  const { redis, postgres, authority, open, dataDirectory } = await gateway(t);
  const { grant } = await authority.issue(REQUEST);
  await Promise.all([postgres.crash(), redis.kill()]);
  t.same(await authority.revoke(grant.id, REVOCATION), { ledger: 'queued', announced: false });
  t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
  authority.close(); // the gateway dies here
  await Promise.all([postgres.restart(), redis.restart()]);
  const next = await open(dataDirectory);
  await next.store.put(grant.id, grant.token, grant.expiresAt);
  t.match(await next.authority.check(grant.id), { ok: false, reason: 'revoked' });
  await next.authority.drainPending();
  t.match(await next.authority.check(grant.id), { ok: false, reason: 'revoked' });
  t.match(await next.authority.show(grant.id), { state: 'revoked', acts: [{ act: 'issue' }, { act: 'revoke' }] });
});

t.test(
  'with Redis down a revocation is in the ledger, fails loudly, and its tombstone follows by itself',
  async (t) => {
    const { redis, authority } = await gateway(t);
    const { grant } = await authority.issue(REQUEST);
    await redis.kill();
    await t.rejects(authority.revoke(grant.id, REVOCATION), { code: 'announce_failed' });
    t.match(await authority.show(grant.id), { state: 'revoked' });
    await redis.restart();
    const client = redisClient(t, redis);
    while ((await client.exists(`dp:{${grant.id}}:x`)) === 0) await client.ping();
    t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
  },
);

t.test('a grant that the store did not take is not left in force in the ledger', async (t) => {
  const { redis, authority } = await gateway(t);
  await redis.kill();
  await t.rejects(authority.issue(REQUEST), { code: 'store_unavailable' });
  t.match(await authority.list(), [{ state: 'revoked' }]);
});

t.test(
  'a renewal that reached the ledger alone takes effect at the next check, unless a tombstone stands',
  async (t) => {
    const { redis, authority, store } = await gateway(t);
    const [one, two] = [await authority.issue(REQUEST), await authority.issue(REQUEST)];
    redis.pause();
    await t.rejects(authority.renew(one.grant.id, RENEWAL), { code: 'announce_failed' });
    await t.rejects(authority.renew(two.grant.id, RENEWAL), { code: 'announce_failed' });
    redis.resume();
    await answers(store);
    // What the paused server still had in its socket may have been done since: put the old tokens back.
    await store.put(one.grant.id, one.grant.token, one.grant.expiresAt);
    await store.put(two.grant.id, two.grant.token, two.grant.expiresAt);
    const check = await authority.check(one.grant.id);
    t.match(check, { ok: true, grant: { renewals: 1, expiresAt: one.grant.expiresAt + 60_000 } });
    t.equal((await store.get(one.grant.id)).token, check.ok ? check.grant.token : 'none', 'the store has it too now');
    await store.revoke(two.grant.id, two.grant.expiresAt);
    t.match(await authority.check(two.grant.id), { ok: false, reason: 'revoked' });
  },
);

/** A grant, and a store with a clock of its own. */
async function withTheirClock(t: Test) {
  const clock = new HandClock();
  const { ledger } = await startLedger(t);
  const theirs = new HandClock();
  theirs.now = clock.now;
  const authority = await startAuthority(t, { store: new MemoryGrantStore(theirs), ledger, clock });
  const { grant } = await authority.issue(REQUEST);
  return { clock, theirs, authority, grant };
}

t.test('a store whose clock differs by more than 2 s admits nobody', async (t) => {
  const { clock, theirs, authority, grant } = await withTheirClock(t);
  for (const [skew, ok] of [
    [0, true],
    [2_000, true],
    [-2_000, true],
    [2_001, false],
    [-2_001, false],
  ] as const) {
    theirs.now = clock.now + skew;
    const check = await authority.check(grant.id);
    t.equal(check.ok, ok, `${skew} ms`);
    if (!check.ok) t.match(check, { reason: 'store_unavailable', message: /clock/ });
  }
});

t.test('by a clock that differs so nothing is issued, and nothing that is over is renewed', async (t) => {
  const { clock, theirs, authority, grant } = await withTheirClock(t);
  for (const skew of [-7 * 86_400_000, grant.expiresAt - clock.now + 1_000]) {
    theirs.now = clock.now + skew;
    await t.rejects(authority.issue(REQUEST), { code: 'clock_differs' });
    await t.rejects(authority.renew(grant.id, RENEWAL), { code: 'clock_differs' });
    await t.rejects(authority.replace(grant.id, REVOCATION), { code: 'clock_differs' });
  }
  t.match(await authority.show(grant.id), { renewals: 0, expiresAt: grant.expiresAt });
});

t.test(
  'a revocation that was cut off while being written is dropped; a line that cannot be read stops the start',
  async (t) => {
    const directory = t.testdir();
    const file = join(directory, 'pending-revocations');
    const entry = { id: 'abcdefghijABCDEFGHIJ12', at: 1, by: 'root', reason: 'x' };
    const other = { ...entry, id: 'abcdefghijABCDEFGHIJ13' };
    mkdirSync(directory, { recursive: true });
    writeFileSync(file, `${JSON.stringify(entry)}\n{"id":"abc`);
    const pending = await PendingRevocations.open(directory);
    t.same(pending.entries(), [entry]);
    await Promise.all([
      pending.add(other),
      ...pending
        .entries()
        .slice(0, 1)
        .map((first) => pending.remove(first)),
    ]);
    t.same((await PendingRevocations.open(directory)).entries().at(-1), other);
    writeFileSync(file, 'garbage\n');
    await t.rejects(PendingRevocations.open(directory), { code: 'pending_revocations_corrupt' });
  },
);

t.test('a revocation that a crash left standing is one once the synchronous standby has it', async (t) => {
  const { postgres, database, ledger, authority } = await gateway(t);
  const { id } = (await authority.issue(REQUEST)).grant;
  const revoked = () => ledger.revoke(id, { ...REVOCATION, at: Date.now() });
  await commitsWait(database);
  await t.rejects(revoked(), { code: 'ledger_unavailable' }, 'the commit waits for the standby');
  await postgres.crash();
  await postgres.restart();
  t.ok((await ledger.get(id))?.revokedAt, 'it stands');
  await t.rejects(revoked(), { code: 'ledger_unavailable' }, 'and counts no more than before');
  await t.rejects(revoked(), { code: 'ledger_unavailable' });
  const waiting = `select count(*)::int as n from pg_stat_activity where wait_event = 'SyncRep'`;
  t.same(await database.query(waiting), [{ n: 1 }], 'who asks again leaves no connection more in that wait');
  await commitsGoOn(database);
  t.match(await revoked(), { service: REQUEST.service });
});

t.test('a revocation that can be written nowhere says so, and still holds here', async (t) => {
  const { postgres, authority, dataDirectory } = await gateway(t);
  const { grant } = await authority.issue(REQUEST);
  await postgres.stop();
  rmSync(dataDirectory, { recursive: true });
  await t.rejects(authority.revoke(grant.id, REVOCATION), { code: 'queue_failed' });
  t.match(await authority.check(grant.id), { ok: false, reason: 'revoked' });
});
