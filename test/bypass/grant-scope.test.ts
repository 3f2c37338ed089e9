import { once } from 'node:events';
import { request } from 'node:http';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import { GrantAuthority } from '../../src/grant/authority.js';
import { readSigningKey } from '../../src/grant/keys.js';
import { Ledger } from '../../src/grant/ledger.js';
import type { GrantLimits, IssueRequest } from '../../src/grant/limits.js';
import { mintToken } from '../../src/grant/mint.js';
import { RedisGrantStore } from '../../src/grant/redis.js';
import { openDatabase } from '../../src/recording/database.js';
import { silent } from '../grant/fixture.js';
import { startEcho } from '../http/echo.js';
import { ordersDatabase } from '../postgres/fixture.js';
import { startGateway, type TestGateway, throughGateway } from '../support/gateway.js';
import { TEST_KEY } from '../support/key.js';
import { ordersWeb } from '../support/orders-web.js';
import { startRedis } from '../support/redis.js';
import { waitUntil } from '../support/wait.js';

const ACT = { by: 'root', reason: 'the sponsor left' };
const READS = 'select on public.orders';
const READER = `{ statements: [select], relations: [public.orders] }\n      - { statements: [select], relations: [public.order_items] }`;

/** A gateway over both protocols, and the grants of another one beside it: same ledger, same Redis, same key. */
async function twoWays(t: Test) {
  const redis = await startRedis(t);
  const orders = await ordersDatabase(t);
  const echo = await startEcho(t);
  const web = ordersWeb(echo.url).replace('[GET /]', '[GET /, GET /orders/**]');
  const services = { 'orders-db': orders.policy({ reader: READER }), 'orders-web': web };
  const gateway = await startGateway(t, { services, env: orders.env, redisUrl: redis.url });
  const pool = openDatabase(gateway.ledger.url, { max: 4 });
  t.teardown(() => pool.end());
  const store = await RedisGrantStore.open(redis.url, silent);
  t.teardown(() => store.close());
  const ledger = new Ledger(pool);
  const key = readSigningKey(TEST_KEY);
  const authority = await GrantAuthority.open({
    ...{
      store,
      ledger,
      signingKey: key,
      policyOf: limits,
      dataDirectory: t.testdir(),
      clock: systemClock,
      log: silent,
    },
  });
  t.teardown(() => authority.close());
  const issue = (service: string, more: Partial<IssueRequest> = {}) =>
    authority.issue({
      ...{ principal: 'alice', service, durationSeconds: 600, sponsor: 'dana', reason: 'a test', by: 'root', ...more },
    });
  const database = (handle: string) => throughGateway(t, gateway.ports.postgres, handle);
  return { gateway, orders, store, ledger, key, authority, issue, database };
}

function limits(name: string): GrantLimits {
  const { lane, owner } = { lane: 'production', owner: 'group:payments-leads' } as const;
  const defaultRole = name === 'orders-db' ? 'reader' : 'viewer';
  const rulesOf = () => (name === 'orders-db' ? [READS, 'select on public.order_items'] : ['GET /', 'GET /orders/**']);
  return {
    name,
    lane,
    owner,
    defaultRole,
    roles: new Set([defaultRole]),
    rulesOf,
    grants: { maxDurationSeconds: 3_600, maxRenewals: 1 },
  };
}

/** Status and body of a request with this handle. */
async function get({ ports }: TestGateway, handle: string, path: string) {
  const headers = { host: 'orders-web.localhost', authorization: `Bearer ${handle}` };
  const asking = request({ port: ports.http, path, headers }).end();
  const [answer] = await once(asking, 'response');
  let text = '';
  for await (const chunk of answer) text += String(chunk);
  return { status: Number(answer.statusCode), body: text };
}

t.test(
  'B11: a suspended grant ends what is live and lets nobody in, over both protocols, until it is resumed',
  async (t) => {
    const { gateway, authority, issue, database } = await twoWays(t);
    const [db, web] = [await issue('orders-db'), await issue('orders-web')];
    const client = await database(db.handle);
    const cut = once(client, 'error');
    t.equal((await get(gateway, web.handle, '/')).status, 200);
    for (const { grant } of [db, web]) await authority.suspend(grant.id, ACT);
    const [error] = await cut;
    t.match(error, { code: '57P01', message: /the grant was suspended/ });
    await t.rejects(database(db.handle), { code: '28P01', message: /suspended/ });
    // What is live hears of it a moment after the answer.
    await waitUntil('the web session is cut', async () => (await get(gateway, web.handle, '/')).status !== 200);
    const refused = await get(gateway, web.handle, '/');
    t.equal(refused.status, 401);
    t.match(JSON.parse(refused.body), { reason: 'suspended' });
    for (const { grant } of [db, web]) await authority.resume(grant.id, ACT);
    t.same((await (await database(db.handle)).query('select 1 as one')).rows, [{ one: 1 }]);
    t.equal((await get(gateway, web.handle, '/')).status, 200);
    await authority.suspend(db.grant.id, ACT);
    await authority.revoke(db.grant.id, ACT);
    await t.rejects(database(db.handle), { code: '28P01', message: /revoked/ });
  },
);

t.test('B11: closed hours let nobody in, over both protocols, and say when they open', async (t) => {
  const { gateway, ledger, store, key, issue, database } = await twoWays(t);
  const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  const later = days[(new Date().getUTCDay() + 3) % 7];
  const [db, web] = [await issue('orders-db'), await issue('orders-web')];
  for (const { grant } of [db, web]) {
    // As given for a week, of which these hours are part.
    const claims = JSON.parse(Buffer.from(grant.token.split('.')[1] ?? '', 'base64url').toString());
    const token = await mintToken(
      { ...claims, win: `${later} 09:00-10:00 UTC`, exp: claims.exp + 7 * 86_400, rnw: 1 },
      key,
    );
    const moved = { ...grant, token, renewals: 1, expiresAt: (claims.exp + 7 * 86_400) * 1000 };
    await ledger.renew(grant.id, async () => ({ grant: moved, act: { ...ACT, at: Date.now() } }));
    await store.put(grant.id, token, moved.expiresAt);
  }
  await t.rejects(database(db.handle), { code: '28P01', message: new RegExp(`opens next on ${later} .* 09:00 UTC`) });
  const refused = await get(gateway, web.handle, '/');
  t.equal(refused.status, 401);
  t.match(JSON.parse(refused.body), { reason: 'outside_hours', detail: new RegExp(`${later} .* 09:00 UTC`) });
});

t.test(
  'B10: a grant that was narrowed does what is left of its role, and a reload gives it nothing back',
  async (t) => {
    const { gateway, orders, issue, database } = await twoWays(t);
    const narrow = await database((await issue('orders-db', { only: [READS] })).handle);
    const whole = await database((await issue('orders-db')).handle);
    await narrow.query('select id from orders limit 1');
    await whole.query('select sku from order_items limit 1');
    await t.rejects(narrow.query('select sku from order_items limit 1'), {
      code: '42501',
      message: /this grant was narrowed/,
    });
    await t.rejects(narrow.query('select o.id from orders o join order_items i on true'), { code: '42501' });
    const prepared = { name: 'p', text: 'select id from orders where id = $1', values: [1] };
    await narrow.query(prepared);
    await gateway.policy(
      'orders-db',
      orders.policy({ reader: `${READER}\n      - { statements: [select], relations: [public.order_summary] }` }),
    );
    await narrow.query(prepared);
    for (const relation of ['order_items', 'order_summary'])
      await t.rejects(narrow.query(`select * from ${relation}`), { code: '42501', message: /narrowed/ });
    await whole.query('select * from order_summary');
    await gateway.policy(
      'orders-db',
      orders.policy({ reader: '{ statements: [select], relations: [public.order_items] }' }),
    );
    for (const text of ['select id from orders', 'select sku from order_items', 'select 1', 'begin'])
      await t.rejects(narrow.query(text), { code: '42501' }, text);
    await t.rejects(narrow.query(prepared), { code: '42501' }, 'what was prepared before too');
  },
);

t.test('B10: the same over HTTP', async (t) => {
  const { gateway, issue } = await twoWays(t);
  const { handle } = await issue('orders-web', { only: ['GET /'] });
  t.equal((await get(gateway, handle, '/')).status, 200);
  const refused = await get(gateway, handle, '/orders/7');
  t.equal(refused.status, 403);
  t.match(JSON.parse(refused.body), { reason: 'out_of_scope', detail: /narrowed to fewer rules than its role has\.$/ });
});

t.test('B9: a token of before, without the claims that came later, goes on; its renewal adds none', async (t) => {
  const { gateway, authority, issue, database } = await twoWays(t);
  const { grant, handle } = await issue('orders-db');
  const claimsOf = (token: string) =>
    Object.keys(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()));
  const before = ['iss', 'aud', 'sub', 'jti', 'iat', 'nbf', 'exp', 'role', 'spo', 'rsn', 'lan', 'own', 'rnw', 'cnf'];
  t.same(claimsOf(grant.token), before, 'it is as one of before');
  const client = await database(handle);
  await client.query('select sku from order_items limit 1');
  const renewed = await authority.renew(grant.id, { durationSeconds: 60, by: 'root', reason: 'more' });
  t.same(claimsOf(renewed.token), before);
  await client.query('select id from orders limit 1');
  await (await database(handle)).query('select sku from order_items limit 1');
  t.same(
    gateway.lines.filter(({ msg }) => msg === 'a grant could not be checked'),
    [],
  );
});
