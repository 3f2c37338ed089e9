import { once } from 'node:events';
import t from 'tap';
import { TEST_KEY } from '../../support/key.js';
import { freshDatabase } from '../../support/postgres.js';
import { startRedis } from '../../support/redis.js';
import { linkFor, NAVIGATION, openingOf, SAME_ORIGIN, startBrowsing, TestBrowser } from './fixture.js';

const WEB = 'web.localhost';

t.test('a login that cannot be looked up lets nobody in, and loses nothing', async (t) => {
  const { gateway, service, browser } = await startBrowsing(t);
  await gateway.issue({ service: 'web' });
  const alice = browser();
  await alice.logIn(await linkFor(gateway));
  await alice.visit(WEB, '/');
  service.seen.length = 0;
  await gateway.ledger.query('alter table daypass.logins rename to away');
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  for (const headers of [SAME_ORIGIN, NAVIGATION]) t.equal((await alice.ask(WEB, '/', { headers })).status, 503);
  t.equal((await alice.ask('localhost', '/', { headers: NAVIGATION })).status, 503);
  t.equal((await alice.logOut()).status, 503, 'a logout that did not happen says so');
  t.same(service.seen, []);
  await gateway.ledger.query('alter table daypass.away rename to logins');
  t.equal((await alice.ask(WEB, '/', { headers: NAVIGATION })).status, 200);
});

t.test('a login counts on every gateway, and so does its end', async (t) => {
  const ledger = await freshDatabase(t);
  const redis = await startRedis(t);
  const shared = { ledger, redisUrl: redis.url, signingKey: TEST_KEY };
  const [one, two] = [await startBrowsing(t, shared), await startBrowsing(t, shared)];
  await one.gateway.issue({ service: 'web' });
  const alice = one.browser();
  await alice.logIn(await linkFor(one.gateway));
  t.equal((await alice.visit(WEB, '/')).status, 200);
  // The same cookies at the other gateway, as behind a balancer.
  const there = new TestBrowser(two.gateway.ports.http);
  for (const [host, jar] of alice.jars) there.jars.set(host, jar);
  t.equal((await there.ask(WEB, '/', { headers: SAME_ORIGIN })).status, 200);
  const socket = there.socket(WEB, '/live', `http://${WEB}:${there.port}`);
  t.equal(await openingOf(t, socket), 101);
  const closed = once(socket, 'close');
  t.equal((await alice.logOut()).status, 303);
  const [code, reason] = await closed;
  t.equal(code, 4001);
  t.match(String(reason), /logged out/);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  t.equal((await there.ask(WEB, '/', { headers: SAME_ORIGIN })).status, 401);
});
