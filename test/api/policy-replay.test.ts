import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { ordersDatabase } from '../postgres/fixture.js';
import { startGateway, type TestGateway, throughGateway } from '../support/gateway.js';
import { waitUntil } from '../support/wait.js';

const WEB = (url: string, rules: readonly string[]) => `
service: orders-web
protocol: http
lane: production
owner: group:payments-leads
upstream: { url: "${url}", headers: { authorization: { env: WEB_TOKEN } } }
roles:
  viewer:
    allow:
${rules.map((rule) => `      - ${rule}`).join('\n')}
grants: { max_duration: 8h, max_renewals: 2 }
`;

async function gatewayOfBoth(t: Test, rules: readonly string[]) {
  const orders = await ordersDatabase(t);
  const server = createServer((_, response) => response.end('fine')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const services = { 'orders-db': orders.policy(), 'orders-web': WEB(url, rules) };
  const gateway = await startGateway(t, { services, env: { ...orders.env, WEB_TOKEN: 'Bearer s3cret-of-web' } });
  const get = async (handle: string, path: string, headers: Record<string, string> = {}) => {
    const host = `orders-web.localhost:${gateway.ports.http}`;
    const asked = { host, authorization: `Bearer ${handle}`, ...headers };
    const { request } = await import('node:http');
    return new Promise<number>((resolve, reject) => {
      const req = request({ port: gateway.ports.http, host: '127.0.0.1', path, headers: asked }, (res) => {
        res.resume().once('end', () => resolve(res.statusCode ?? 0));
      });
      req.once('error', reject).end();
    });
  };
  return { ...gateway, orders, url, get };
}

async function replay(gateway: TestGateway, draft: string, since = new Date(Date.now() - 3_600_000).toISOString()) {
  return gateway.operator('POST', '/v1/policy/replay', { draft, since, by: 'rex' });
}

t.test(
  'a draft that takes a route away says which recorded requests it would have refused, each with its session',
  async (t) => {
    const gateway = await gatewayOfBoth(t, ['GET /', 'GET /orders/**']);
    const { handle } = await gateway.issue({ service: 'orders-web' });
    for (const path of ['/', '/orders/7', '/orders/8', '/admin']) await gateway.get(handle, path);
    const { status, body } = await replay(gateway, WEB(gateway.url, ['GET /', 'GET /orders/7', 'GET /admin']));
    t.equal(status, 200);
    t.match(body, { service: 'orders-web', sessions: 1, actions: 4, refused: 1, allowed: 1, undeterminable: 0 });
    t.match(body.changes, [
      { would: 'refused', action: 'GET /orders/8', principal: 'alice', role: 'viewer', session: /^[0-9a-f-]{36}$/ },
      { would: 'allowed', action: 'GET /admin' },
    ]);
    const [viewing] = await gateway.ledger.query("select by from daypass.viewings where act = 'policy'");
    t.match(viewing, { by: 'rex' });
  },
);

t.test('a close frame without a text is named by where it was said', async (t) => {
  const service = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(service, 'listening');
  t.teardown(() => service.close());
  const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  const env = { WEB_TOKEN: 'Bearer s3cret-of-web' };
  const gateway = await startGateway(t, { services: { 'orders-web': WEB(url, ['WS /live']) }, env });
  const { handle } = await gateway.issue({ service: 'orders-web' });
  const headers = { host: `orders-web.localhost:${gateway.ports.http}`, authorization: `Bearer ${handle}` };
  const client = new WebSocket(`ws://127.0.0.1:${gateway.ports.http}/live`, { headers });
  await once(client, 'open');
  client.close(4200);
  await once(client, 'close');
  const { body } = await replay(gateway, WEB(url, ['GET /']));
  t.match(body.changes, [{ action: 'WS /live' }, { action: 'message /live', would: 'refused' }]);
});

t.test('the policy in force as its own draft changes nothing', async (t) => {
  const gateway = await gatewayOfBoth(t, ['GET /', 'GET /orders/**']);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query('select count(*) from orders');
  await client.query('select id from orders where id = $1', [1]);
  await client.query('begin; declare c cursor for select id from orders; fetch 2 from c; commit');
  await client.query('prepare p as select 1 from order_items; execute p');
  await t.rejects(client.query('delete from orders'));
  await t.rejects(client.query('selec nonsense'));
  await client.end();
  const { body } = await replay(gateway, gateway.orders.policy());
  t.match(body, { refused: 0, allowed: 0, undeterminable: 0, changes: [] });
  t.ok(Number(body.actions) >= 6);
});

t.test('a statement is decided again, also what runs by a name that the session gave', async (t) => {
  const gateway = await gatewayOfBoth(t, ['GET /']);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query('select 1 from orders');
  await client.query('prepare p as select 1 from order_items');
  await client.query('execute p');
  await client.end();
  const draft = gateway.orders.policy({ reader: '{ statements: [select], relations: [public.orders] }' });
  const { body } = await replay(gateway, draft);
  t.match(body, { refused: 2, allowed: 0, undeterminable: 0 });
  const changes = body.changes as { action: string }[];
  t.same(
    changes.map(({ action }) => action),
    ['prepare p as select 1 from order_items', 'execute p'],
  );
});

t.test('where redaction took what a rule looks at nobody can tell, and the answer says so', async (t) => {
  const rule =
    '{ route: "GET /search", query: { token: { type: int, optional: true }, page: { type: int, optional: true } } }';
  const gateway = await gatewayOfBoth(t, ['GET /', rule]);
  const { handle } = await gateway.issue({ service: 'orders-web' });
  await gateway.get(handle, '/search?token=12&page=3');
  await gateway.get(handle, '/search?page=4');
  await gateway.get(handle, '/?token=12');
  t.equal(await gateway.get(handle, '/search?page=4', { cookie: 'page=5' }), 400, 'a cookie may be taken for it');
  await gateway.get(handle, '/', { cookie: 'page=5' });
  const { body } = await replay(gateway, WEB(gateway.url, ['GET /', rule]));
  t.match(body, { actions: 5, refused: 0, allowed: 0, undeterminable: 2 });
  t.same(body.why, { 'redaction took what a rule looks at': 2 });
});

t.test('a request that a cookie made another one is refused again', async (t) => {
  const gateway = await gatewayOfBoth(t, ['GET /orders']);
  const { handle } = await gateway.issue({ service: 'orders-web' });
  t.equal(await gateway.get(handle, '/orders', { cookie: 'theme=dark; _method=delete' }), 403);
  t.equal(await gateway.get(handle, '/orders', { cookie: 'theme=dark; _method=xyz' }), 403);
  const { body } = await replay(gateway, WEB(gateway.url, ['GET /orders']));
  t.match(body, { actions: 2, refused: 0, allowed: 0, undeterminable: 0 });
  const { body: wider } = await replay(gateway, WEB(gateway.url, ['GET /orders', 'DELETE /orders']));
  t.match(wider, { refused: 0, allowed: 1, undeterminable: 0 });
});

t.test('a role that the draft drops refuses everything its holders did', async (t) => {
  const gateway = await gatewayOfBoth(t, ['GET /']);
  const { handle } = await gateway.issue({ service: 'orders-web' });
  await gateway.get(handle, '/');
  const { body } = await replay(gateway, WEB(gateway.url, ['GET /']).replace('viewer:', 'reader:'));
  t.match(body, { actions: 1, refused: 1, changes: [{ rule: 'the role is gone' }] });
});

t.test('a session is decided again by the policy that was in force at each of its actions', async (t) => {
  const gateway = await gatewayOfBoth(t, ['GET /', 'GET /a']);
  const { handle } = await gateway.issue({ service: 'orders-web' });
  await gateway.get(handle, '/a');
  await gateway.policy('orders-web', WEB(gateway.url, ['GET /']));
  await gateway.get(handle, '/a');
  const { body } = await replay(gateway, WEB(gateway.url, ['GET /']));
  t.match(body, { actions: 2, refused: 1, allowed: 0, undeterminable: 0 });
});

t.test('what lies before the time that is asked about does not count', async (t) => {
  const gateway = await gatewayOfBoth(t, ['GET /']);
  const { handle } = await gateway.issue({ service: 'orders-web' });
  await gateway.get(handle, '/');
  const { body } = await replay(gateway, WEB(gateway.url, ['GET /b']), new Date(Date.now() + 60_000).toISOString());
  t.match(body, { actions: 0, refused: 0 });
});

t.test('a draft with problems is refused, each named, and no secret of the file is looked for', async (t) => {
  const gateway = await gatewayOfBoth(t, ['GET /']);
  const { status, body } = await replay(gateway, `${WEB(gateway.url, ['GET /'])}nonsense: 1\n`);
  t.equal(status, 422);
  t.match(body, { error: { code: 'config_invalid', message: /nonsense/ } });
  const draft = WEB(gateway.url, ['GET /']).replace('{ env: WEB_TOKEN }', '{ file: /etc/shadow }');
  t.equal((await replay(gateway, draft)).status, 200, 'a reference is stood in for, never read');
});

t.test('a connection that was refused for its grant is no policy’s, and counts as the same', async (t) => {
  const gateway = await gatewayOfBoth(t, ['GET /']);
  const [web, orders] = [
    await gateway.issue({ service: 'orders-web' }),
    await gateway.issue({ service: 'orders-db', role: 'order-editor' }),
  ];
  await gateway.operator('POST', `/v1/grants/${web.id}/revoke`, { reason: 'done', by: 'ops' });
  t.equal(await gateway.get(web.handle, '/'), 401);
  t.equal(await gateway.get(orders.handle, '/'), 403);
  const over = `select from daypass.sessions where service = 'orders-web' and ended_at is not null`;
  const recorded = (most: number) =>
    waitUntil('they are recorded', async () => (await gateway.ledger.query(over)).length === most);
  await recorded(2);
  const { body } = await replay(gateway, WEB(gateway.url, ['GET /']));
  t.same(body.why, {});
  t.match(body, { sessions: 2, actions: 2, refused: 0, allowed: 0, undeterminable: 0 });
  const rest = await gateway.issue({ service: 'orders-web' });
  const reader = WEB(gateway.url, ['GET /']).replace('viewer:', 'reader:');
  await gateway.policy('orders-web', reader);
  t.equal(await gateway.get(rest.handle, '/'), 403, 'its role is gone');
  await recorded(3);
  t.same((await replay(gateway, reader)).body.why, {});
  const { body: again } = await replay(gateway, WEB(gateway.url, ['GET /']));
  t.same(again.why, { 'the policy of that time had no such role': 1 });
});
