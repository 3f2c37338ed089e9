import { setTimeout as pause } from 'node:timers/promises';
import Cursor from 'pg-cursor';
import t, { type Test } from 'tap';
import { startGateway, type TestGateway, throughGateway } from '../support/gateway.js';
import { tapProxy } from '../support/tap-proxy.js';
import { waitUntil } from '../support/wait.js';
import { bind, execute, fields, loggedIn, parse, shapes, sync } from '../support/wire.js';
import { gatewayToOrders, ordersDatabase } from './fixture.js';

async function renew(t: Test, gateway: TestGateway, id: string): Promise<void> {
  const body = { durationSeconds: 60, reason: 'a little longer', by: 'ops' };
  t.equal((await gateway.operator('POST', `/v1/grants/${id}/renew`, body)).status, 200);
}

t.test('a renewal while a cursor streams: its rows come before the old deadline and after it', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle, id, expiresAt } = await gateway.issue({ service: 'orders-db', for: '6s' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  const old = Date.parse(expiresAt);
  const cursor = client.query(new Cursor('select a.id from orders a, orders b'));
  const rows = { before: 0, after: 0 };
  let renewed: Promise<void> | undefined;
  while (rows.after < 500) {
    const { length } = await cursor.read(100);
    if (length === 0) throw new Error('no row is left');
    rows[Date.now() < old ? 'before' : 'after'] += length;
    renewed ??= renew(t, gateway, id);
    await pause(20);
  }
  await renewed;
  t.ok(rows.before > 0, `${rows.before} rows before, ${rows.after} after`);
  await cursor.close();
  t.equal((await client.query('select 1 as one')).rows[0].one, 1, 'the connection goes on');
});

const HALF = Buffer.concat([parse('', 'select count(*) from orders'), bind('', ''), execute('')]);

/** A gateway whose database tells what it has seen. */
async function watched(t: Test) {
  const orders = await ordersDatabase(t);
  const proxy = await tapProxy(t, orders.database.config.host, orders.database.config.port);
  const policy = orders.policy({ upstream: `127.0.0.1:${proxy.port}` });
  return { ...(await startGateway(t, { services: { 'orders-db': policy }, env: orders.env })), proxy };
}

t.test('a renewal with a half-sent pipeline: it is finished after the old deadline', async (t) => {
  const gateway = await watched(t);
  const { handle, id, expiresAt } = await gateway.issue({ service: 'orders-db', for: '6s' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  gateway.proxy.forget();
  client.send(HALF);
  await renew(t, gateway, id);
  await pause(Date.parse(expiresAt) + 200 - Date.now());
  t.notMatch(gateway.proxy.seen().toString('latin1'), /from orders/, 'held for its Sync');
  client.send(sync());
  t.equal(shapes(await client.until()), '1 2 D C:SELECT 1 Z:I');
});

t.test('a revocation with a half-sent pipeline: it never reaches the database', async (t) => {
  const gateway = await watched(t);
  const { handle, id } = await gateway.issue({ service: 'orders-db' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  gateway.proxy.forget();
  client.send(HALF);
  await pause(100);
  await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: 'over', by: 'ops' });
  // The answer says that it is revoked; what is live hears of it a moment later.
  await waitUntil('it is cut', async () => (await gateway.operator('GET', '/v1/status')).body.liveSessions === 0);
  client.send(sync());
  const [told, ...rest] = (await client.rest()).filter(({ type }) => type !== 'N');
  t.match(told && fields(told), { S: 'FATAL', C: '57P01', M: /the grant was revoked/ });
  t.same(rest, []);
  await pause(200);
  t.notMatch(gateway.proxy.seen().toString('latin1'), /from orders/);
  await gateway.stop();
  const results = (await gateway.events()).filter(({ kind }) => kind === 'result');
  t.match(results, [{ facts: { status: 'interrupted' } }]);
});
