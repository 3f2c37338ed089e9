import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { DaypassError } from '../../src/errors.js';
import { mintId } from '../../src/grant/handle.js';
import { RedisGrantStore } from '../../src/grant/redis.js';
import { ACL_RIGHTS } from '../../src/grant/scripts.js';
import { dataFolder } from '../support/folders.js';
import { freePort, portOf } from '../support/ports.js';
import { type RedisServer, redisClient, startRedis } from '../support/redis.js';
import { answers, silent } from './fixture.js';

async function open(t: Test, server: RedisServer): Promise<RedisGrantStore> {
  const store = await RedisGrantStore.open(server.url, silent);
  t.teardown(() => store.close());
  return store;
}

/** What the first ping says that is answered: null, or why the server is not believed. */
async function firstAnswer(store: RedisGrantStore): Promise<unknown> {
  for (;;) {
    const answer: unknown = await store.ping().then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (!(answer instanceof DaypassError && answer.code === 'store_unavailable')) return answer;
    await pause(10);
  }
}

t.test('a server that may evict tombstones is refused, with or without a limit today', async (t) => {
  const server = await startRedis(t, ['--maxmemory-policy', 'allkeys-lru']);
  await t.rejects(RedisGrantStore.open(server.url, silent), { code: 'store_evicts', message: /allkeys-lru/ });
});

t.test('a replica is refused: it may answer what is no longer true', async (t) => {
  const server = await startRedis(t, ['--replicaof', '127.0.0.1 1']);
  await t.rejects(RedisGrantStore.open(server.url, silent), { code: 'store_not_primary' });
});

t.test('a server that is not there is a fault with a code', async (t) => {
  const url = `redis://127.0.0.1:${await freePort()}`;
  await t.rejects(RedisGrantStore.open(url, silent), { code: 'store_unavailable' });
});

t.test('a server that becomes a replica or begins to evict is noticed by the next ping', async (t) => {
  const server = await startRedis(t);
  const store = await open(t, server);
  const admin = redisClient(t, server);
  await admin.call('REPLICAOF', '127.0.0.1', '1');
  await t.rejects(store.ping(), { code: 'store_not_primary' });
  await t.rejects(store.get(mintId()), { code: 'store_not_primary' });
  await admin.call('REPLICAOF', 'NO', 'ONE');
  await store.ping();
  t.match(await store.get(mintId()), { token: null });
});

t.test('a server that is told to evict while the connection stands is noticed by the next ping', async (t) => {
  const server = await startRedis(t);
  const store = await open(t, server);
  const admin = redisClient(t, server);
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
  await t.rejects(store.ping(), { code: 'store_evicts' });
  await t.rejects(store.get(mintId()), { code: 'store_evicts' });
  await admin.config('SET', 'maxmemory-policy', 'noeviction');
  await store.ping();
});

t.test('a server that does not say whether it loads its data is taken for one that does not', async (t) => {
  const { port } = await startRedis(t);
  const silentOfIt = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    client.on('error', () => {}).on('close', () => upstream.destroy());
    upstream.on('error', () => {}).on('close', () => client.destroy());
    client.pipe(upstream);
    upstream.on('data', (bytes) =>
      client.write(bytes.toString('latin1').replace('\nloading:', '\nunknown:'), 'latin1'),
    );
  });
  await once(silentOfIt.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => silentOfIt.close());
  const store = await RedisGrantStore.open(`redis://127.0.0.1:${portOf(silentOfIt.address())}`, silent);
  t.teardown(() => store.close());
  await store.ping();
});

t.test('a server that loads its data answers, and is not believed; what it had is there afterwards', async (t) => {
  const slowly = ['--key-load-delay', '150', '--loading-process-events-interval-bytes', '1024'];
  const server = await startRedis(t, ['--dir', await dataFolder(t), ...slowly]);
  const store = await open(t, server);
  const admin = redisClient(t, server);
  const id = mintId();
  await store.put(id, 'token', Date.now() + 60_000);
  await admin.eval("for i = 1, 12000 do redis.call('set', 'other' .. i, string.rep('x', 100)) end", 0);
  await admin.save();
  await server.kill();
  const back = server.restart();
  const answered = await firstAnswer(store);
  t.match(answered, { code: 'store_loading' });
  await back;
  await answers(store);
  t.match(await store.get(id), { token: 'token' });
});

t.test('a silent server is given up within the time a check has', async (t) => {
  const server = await startRedis(t);
  const store = await open(t, server);
  server.pause();
  t.teardown(() => server.resume());
  await t.rejects(store.get(mintId()), { code: 'store_unavailable' });
  await t.rejects(store.put(mintId(), 'x', Date.now() + 60_000), { code: 'store_unavailable' });
  await t.rejects(store.ping(), { code: 'store_unavailable' });
  server.resume();
  await answers(store);
  t.match(await store.get(mintId()), { token: null });
});

t.test(
  'after a crash of the server the store and the feed come back by themselves, and the feed says so',
  async (t) => {
    const server = await startRedis(t);
    const store = await open(t, server);
    const events = new EventTarget();
    const say = (name: string) => () => void events.dispatchEvent(new Event(name));
    const heard: string[] = [];
    await store.subscribe(
      (id) => {
        heard.push(id);
        say('heard')();
      },
      { lost: say('lost'), resumed: say('resumed') },
    );
    const lost = once(events, 'lost');
    const resumed = once(events, 'resumed');
    await server.kill();
    await lost;
    await t.rejects(store.announce('x'), { code: 'store_unavailable' }, 'nothing is queued for later');
    await server.restart();
    await resumed;
    await answers(store);
    const id = mintId();
    const next = once(events, 'heard');
    await store.announce(id);
    await next;
    t.same(heard, [id]);
  },
);

t.test('grants and tombstones are two keys of one hash slot that end by themselves', async (t) => {
  const server = await startRedis(t);
  const store = await open(t, server);
  const admin = redisClient(t, server);
  const [live, dead] = [mintId(), mintId()];
  const end = Date.now() + 60_000;
  await store.put(live, 'token', end);
  await store.revoke(dead, end);
  t.same((await admin.keys('*')).sort(), [`dp:{${dead}}:x`, `dp:{${live}}:g`].sort());
  t.equal(await admin.call('PEXPIRETIME', `dp:{${live}}:g`), end);
  t.equal(await admin.call('PEXPIRETIME', `dp:{${dead}}:x`), end);
});

t.test('a server that is out of memory takes no grant, and still every revocation', async (t) => {
  const server = await startRedis(t);
  const store = await open(t, server);
  const admin = redisClient(t, server);
  const [held, unheard] = [mintId(), mintId()];
  const end = Date.now() + 60_000;
  await store.put(held, 'token', end);
  await admin.config('SET', 'maxmemory', '1');
  await t.rejects(store.put(unheard, 'token', end), { code: 'store_unavailable' });
  for (const id of [held, unheard]) {
    await store.revoke(id, end);
    t.match(await store.get(id), { token: null, revoked: true });
  }
});

t.test('the rights written down for an ACL are all it needs', async (t) => {
  const server = await startRedis(t);
  const admin = redisClient(t, server);
  await admin.call('ACL', 'SETUSER', 'gateway', 'on', '>secret', 'resetchannels', ...ACL_RIGHTS.split(' '));
  const store = await RedisGrantStore.open(server.url.replace('//', '//gateway:secret@'), silent);
  t.teardown(() => store.close());
  const events = new EventTarget();
  const unsubscribe = await store.subscribe((id) => void events.dispatchEvent(new Event(id)));
  const id = mintId();
  const end = Date.now() + 60_000;
  t.equal(await store.put(id, 'token', end), 'stored');
  for (const act of [() => store.announce(id), () => store.revoke(id, end)]) {
    const heard = once(events, id);
    await act();
    await heard;
  }
  await store.ping();
  t.match(await store.get(id), { token: null, revoked: true });
  await unsubscribe();
});
