import { once } from 'node:events';
import t, { type Test } from 'tap';
import { type Clock, systemClock } from '../../src/clock.js';
import type { GrantWatcher } from '../../src/grant/grant.js';
import { RedisGrantStore } from '../../src/grant/redis.js';
import { startGrantWatch } from '../../src/grant/watch.js';
import { redisClient, startRedis } from '../support/redis.js';
import { HandClock, REQUEST, signingKey, silent, startAuthority, startLedger } from './fixture.js';

const REVOCATION = { by: 'root', reason: 'done' };

/** A registry of live sessions that tells the test what it was told. */
class Registry extends EventTarget implements GrantWatcher {
  readonly held: string[] = [];
  readonly #ends = new Map<string, number>();
  heldIds(): readonly string[] {
    return this.held;
  }
  recheck(id: string): void {
    this.dispatchEvent(new Event(id));
  }
  over(id: string, reason: string): void {
    this.dispatchEvent(new Event(`${id} ${reason}`));
  }
  stands(id: string, expiresAt: number): void {
    if (this.#ends.get(id) !== expiresAt) this.recheck(id);
    this.#ends.set(id, expiresAt);
  }
  known(): void {}
  stale(): void {
    this.dispatchEvent(new Event('stale'));
  }
  tick(): void {
    this.dispatchEvent(new Event('tick'));
  }
}

/** Two gateways on one Redis and one ledger; the first watches what its registry holds. */
async function gateways(t: Test, staleness = 15_000, clock: Clock = systemClock) {
  const redis = await startRedis(t);
  const { ledger, database } = await startLedger(t);
  const key = signingKey();
  const open = async () => {
    const store = await RedisGrantStore.open(redis.url, silent);
    t.teardown(() => store.close());
    return { store, authority: await startAuthority(t, { store, ledger, key }) };
  };
  const [here, elsewhere] = [await open(), await open()];
  const registry = new Registry();
  const watch = await startGrantWatch({
    ...{ store: here.store, ledger, watcher: registry, staleness },
    ...{ clock, log: silent },
  });
  t.teardown(() => watch.stop());
  /** A grant that is held here, and when the watch has seen it for the first time. */
  const hold = async () => {
    const { grant } = await here.authority.issue(REQUEST);
    registry.held.push(grant.id);
    return { id: grant.id, seen: once(registry, grant.id) };
  };
  return { redis, ledger, database, here, elsewhere, registry, watch, hold };
}

t.test('what another gateway revokes or renews is heard here', async (t) => {
  const { elsewhere, registry, hold, watch } = await gateways(t);
  const [one, two] = [await hold(), await hold()];
  const revoked = once(registry, one.id);
  await elsewhere.authority.revoke(one.id, REVOCATION);
  await revoked;
  const renewed = once(registry, two.id);
  await elsewhere.authority.renew(two.id, { durationSeconds: 60, by: 'root', reason: 'more' });
  await renewed;
  await once(registry, 'tick');
  t.match(watch.health(), { feed: true, store: true, ledger: true });
});

t.test('a change of a grant that nobody here holds is nobody’s business here', async (t) => {
  const { elsewhere, registry, hold } = await gateways(t);
  const held = await hold();
  const { grant } = await elsewhere.authority.issue(REQUEST);
  registry.addEventListener(grant.id, () => t.fail('rechecked'));
  await elsewhere.authority.revoke(grant.id, REVOCATION);
  const next = once(registry, held.id);
  await elsewhere.store.announce(held.id);
  await next;
});

t.test('with a deaf feed the ledger tells within its next round: revoked, renewed, gone and suspended', async (t) => {
  const { database, registry, hold } = await gateways(t);
  const [one, two, three, four, five] = [await hold(), await hold(), await hold(), await hold(), await hold()];
  await Promise.all([one, two, three, four, five].map(({ seen }) => seen));
  const changes = [`${one.id} revoked`, two.id, three.id, `${five.id} suspended`].map((told) => once(registry, told));
  registry.addEventListener(four.id, () => t.fail('nothing changed here'));
  await database.query('update daypass.grants set revoked_at = now() where id = $1', [one.id]);
  await database.query(`update daypass.grants set expires_at = expires_at + interval '1 minute' where id = $1`, [
    two.id,
  ]);
  await database.query('delete from daypass.grants where id = $1', [three.id]);
  await database.query('update daypass.grants set suspended_at = now() where id = $1', [five.id]);
  await Promise.all(changes);
});

t.test('after the feed was interrupted every held grant is read again', async (t) => {
  const { redis, registry, hold } = await gateways(t);
  const held = [await hold(), await hold()];
  await Promise.all(held.map(({ seen }) => seen));
  const again = held.map((grant) => once(registry, grant.id));
  await redisClient(t, redis).call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await Promise.all(again);
});

t.test(
  'a Redis that is gone ends the sessions after staleness, not before, and not when it comes back in time',
  async (t) => {
    // How long Redis has been gone is by the watch's clock, which the test moves.
    const clock = new HandClock();
    const { redis, registry, watch } = await gateways(t, 3_000, clock);
    let stale = 0;
    registry.addEventListener('stale', () => {
      stale += 1;
    });
    const untilStore = async (answers: boolean) => {
      while (watch.health().store !== answers) await once(registry, 'tick');
    };
    await redis.kill();
    await untilStore(false);
    clock.now += 2_999;
    for (let asked = 0; asked < 2; asked += 1) await once(registry, 'tick');
    t.equal(watch.health().storeAge, 2_999, 'counted from the last answer');
    t.equal(stale, 0, 'not before');
    await redis.restart();
    await untilStore(true);
    t.equal(stale, 0, 'not when it comes back in time');
    await redis.kill();
    await untilStore(false);
    const ended = once(registry, 'stale');
    clock.now += 3_000;
    await ended;
  },
);

t.test('a Redis that is silent counts as gone', async (t) => {
  const { redis, registry } = await gateways(t, 1_000);
  redis.pause();
  await once(registry, 'stale');
  redis.resume();
});

t.test('with staleness 0 the first lost connection ends the sessions', async (t) => {
  const { redis, registry } = await gateways(t, 0);
  const ended = once(registry, 'stale');
  await redis.kill();
  await ended;
});
