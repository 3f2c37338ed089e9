import t from 'tap';
import { startEcho } from '../http/echo.js';
import { raw } from '../http/gateway.js';
import { gatewayToOrders } from '../postgres/fixture.js';
import { throughGateway } from '../support/gateway.js';
import { ordersWeb } from '../support/orders-web.js';

t.test('B15: the id of a live session opens nothing, over HTTP and Postgres', async (t) => {
  const echo = await startEcho(t);
  const gateway = await gatewayToOrders(t);
  await gateway.policy('orders-web', ordersWeb(echo.url));
  const { ports } = gateway;
  const ask = (header: string) =>
    raw(t, ports.http, `GET / HTTP/1.1\r\nHost: orders-web.localhost\r\n${header}\r\nConnection: close\r\n\r\n`).ended;
  const [db, web] = [await gateway.issue({ service: 'orders-db' }), await gateway.issue({ service: 'orders-web' })];
  const client = await throughGateway(t, ports.postgres, db.handle);
  await client.query('select id from orders limit 1');
  t.match(await ask(`Daypass-Handle: ${web.handle}`), /^HTTP\/1\.1 200 /);
  const sessions = new Set((await gateway.events()).map(({ session }) => session));
  t.equal(sessions.size, 2, 'both are live');
  const before = echo.requests.length;
  for (const id of sessions) {
    const guesses = [id, id.replaceAll('-', ''), `dp_${id}`, `dp_${id}_${id}`];
    for (const guess of guesses) {
      t.match(await ask(`Authorization: Bearer ${guess}`), /^HTTP\/1\.1 401 /);
      t.match(await ask(`Daypass-Handle: ${guess}`), /^HTTP\/1\.1 401 /);
      t.match(await ask(`Daypass-Session: ${guess}\r\nCookie: session=${guess}`), /^HTTP\/1\.1 401 /);
      await t.rejects(throughGateway(t, ports.postgres, guess), { code: '28P01' });
      await t.rejects(throughGateway(t, ports.postgres, guess, { user: `alice+${id}` }), { code: /^28/ });
    }
  }
  t.equal(echo.requests.length, before, 'nothing was forwarded');
  await client.query('select id from orders limit 1');
});
