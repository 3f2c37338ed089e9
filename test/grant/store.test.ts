import { once } from 'node:events';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import { mintId } from '../../src/grant/handle.js';
import { MemoryGrantStore } from '../../src/grant/memory.js';
import { RedisGrantStore } from '../../src/grant/redis.js';
import type { GrantStore } from '../../src/grant/store.js';
import { startRedis } from '../support/redis.js';
import { silent } from './fixture.js';

/** What every store answers, whatever it is made of. */
function contract(name: string, open: (t: Test) => Promise<GrantStore>): void {
  t.test(`${name}: a grant is there until its end and no longer`, async (t) => {
    const store = await open(t);
    // On a busy machine it may have ended before it was seen: then another one, which lasts longer.
    for (let seen = false, lasts = 100; !seen; lasts *= 2) {
      const id = mintId();
      t.match(await store.get(id), { token: null, revoked: false });
      const end = (await store.get(id)).now + lasts;
      if ((await store.put(id, 'token', end)) === 'past') continue;
      let last = await store.get(id);
      for (; last.token !== null; last = await store.get(id)) {
        seen = true;
        t.equal(last.token, 'token');
      }
      t.ok(last.now >= end, 'not before its end');
    }
  });

  t.test(`${name}: a grant that has ended is not stored`, async (t) => {
    const store = await open(t);
    const id = mintId();
    const { now } = await store.get(id);
    t.equal(await store.put(id, 'token', now), 'past');
    t.equal(await store.put(id, 'token', 1), 'past');
    t.match(await store.get(id), { token: null, revoked: false });
  });

  t.test(`${name}: a renewal replaces the token`, async (t) => {
    const store = await open(t);
    const id = mintId();
    const { now } = await store.get(id);
    await store.put(id, 'old', now + 60_000);
    t.equal(await store.put(id, 'new', now + 120_000), 'stored');
    t.match(await store.get(id), { token: 'new', revoked: false });
  });

  t.test(`${name}: B12: nothing is put over a tombstone`, async (t) => {
    const store = await open(t);
    const id = mintId();
    const { now } = await store.get(id);
    await store.put(id, 'token', now + 60_000);
    await store.revoke(id, now + 60_000);
    t.match(await store.get(id), { token: null, revoked: true });
    t.equal(await store.put(id, 'token', now + 120_000), 'revoked');
    t.match(await store.get(id), { token: null, revoked: true });
  });

  t.test(`${name}: a tombstone only grows`, async (t) => {
    const store = await open(t);
    const id = mintId();
    const { now } = await store.get(id);
    await store.revoke(id, now + 60_000);
    await store.revoke(id, now + 1);
    await store.revoke(id, now - 1_000);
    while ((await store.get(id)).now <= now + 5);
    t.match(await store.get(id), { revoked: true });
  });

  t.test(`${name}: a put and a revocation at once leave the grant revoked, whoever is first`, async (t) => {
    const store = await open(t);
    const { now } = await store.get(mintId());
    for (let round = 0; round < 50; round += 1) {
      const id = mintId();
      await Promise.all([
        store.put(id, 'a', now + 60_000),
        store.revoke(id, now + 60_000),
        store.put(id, 'b', now + 60_000),
      ]);
      t.match(await store.get(id), { token: null, revoked: true });
    }
  });

  t.test(`${name}: whoever listens hears of announcements and revocations, and of nothing afterwards`, async (t) => {
    const store = await open(t);
    const heard = new EventTarget();
    const ids: string[] = [];
    const unsubscribe = await store.subscribe((id) => {
      ids.push(id);
      heard.dispatchEvent(new Event('id'));
    });
    const [one, two] = [mintId(), mintId()];
    const { now } = await store.get(one);
    for (const act of [() => store.announce(one), () => store.revoke(two, now + 60_000)]) {
      const next = once(heard, 'id');
      await act();
      await next;
    }
    t.same(ids, [one, two]);
    await unsubscribe();
    await store.announce(one);
    await store.ping();
    t.same(ids, [one, two]);
  });

  t.test(`${name}: the store's clock is told in milliseconds`, async (t) => {
    const store = await open(t);
    const before = Date.now();
    const { now } = await store.get(mintId());
    t.ok(now >= before - 1 && now <= Date.now() + 1, `${now}`);
    t.ok(Number.isInteger(now));
  });
}

contract('in process', async () => new MemoryGrantStore(systemClock));

const redis = startRedis(t);
contract('Redis', async (t) => {
  const store = await RedisGrantStore.open((await redis).url, silent);
  t.teardown(() => store.close());
  return store;
});
