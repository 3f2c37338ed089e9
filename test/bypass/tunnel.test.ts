import { once } from 'node:events';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { TUNNEL_PROTOCOL } from '../../src/api/tunnel-stream.js';
import { addPeople, askApi, DUTIES } from '../api/ground.js';
import { linkFor, openingOf, SAME_ORIGIN, TestBrowser } from '../http/browser/fixture.js';
import { raw } from '../http/gateway.js';
import { gatewayToOrders } from '../postgres/fixture.js';
import { localPort, tokenOf, tunnelled } from '../postgres/tunnel.js';
import { waitUntil } from '../support/wait.js';
import { query, start, wire } from '../support/wire.js';

t.test('tunnels', async (t) => {
  const gateway = await gatewayToOrders(t, { settings: DUTIES });
  await addPeople(gateway);
  const { id } = await gateway.issue({ service: 'orders-db' });
  const alice = await tokenOf(gateway, 'alice');
  const origin = `http://localhost:${gateway.ports.http}`;
  const path = '/api/v1/tunnels?service=orders-db&port=6001';
  const asked = (t: Test, headers: Record<string, string>, where = path, protocol = TUNNEL_PROTOCOL) =>
    openingOf(
      t,
      new WebSocket(`ws://127.0.0.1:${gateway.ports.http}${where}`, protocol, {
        headers: { host: new URL(origin).host, ...headers },
      }),
    );
  const authorization = `Bearer ${alice}`;

  t.test('A: a page cannot open one, by whatever a browser sends along (cross-site WebSocket hijacking)', async (t) => {
    const browser = new TestBrowser(gateway.ports.http);
    await browser.logIn(await linkFor(gateway, 'alice'));
    const cookie = browser.cookies('localhost');
    t.equal(await asked(t, { cookie, origin: 'https://evil.test' }), 403);
    t.equal(await asked(t, { cookie, origin, ...SAME_ORIGIN }), 403, 'nor a page of our own');
    t.equal(await asked(t, { cookie }), 403);
    t.equal(await asked(t, { authorization, origin: 'https://evil.test' }), 403);
    t.equal(await asked(t, { authorization, origin }), 403);
    t.equal(await asked(t, { authorization, 'sec-fetch-site': 'none' }), 403);
    t.equal(await asked(t, { authorization, cookie }), 400);
  });

  t.test('B: nobody but a person with a token opens one, and only by a grant of their own', async (t) => {
    t.equal(await asked(t, {}), 401);
    t.equal(await asked(t, { authorization: `Bearer dpt_${'A'.repeat(43)}` }), 401);
    const { handle } = await gateway.issue({ service: 'orders-db' });
    t.equal(await asked(t, { authorization: `Bearer ${handle}` }), 401, 'a handle opens services, not this');
    const bob = await tokenOf(gateway, 'bob');
    t.equal(await asked(t, { authorization: `Bearer ${bob}` }), 403);
    t.equal(await asked(t, { authorization: `Bearer ${bob}` }, `${path}&grant=${id}`), 403);
    t.equal(await asked(t, { authorization }, path.replace('orders-db', 'none')), 403);
    t.equal(await asked(t, { authorization }, `${path}&grant=${id}&grant=${id}`), 400);
    t.equal(await asked(t, { authorization }, path, 'another'), 426);
    const plain = await askApi(gateway.ports.http, { path, headers: { authorization } });
    t.match(plain, { status: 426, body: { code: 'upgrade_required' } });
    for (const [version, protocol] of [
      ['1.0', 'websocket'],
      ['1.1', 'h2c'],
    ]) {
      const opening = `GET ${path} HTTP/${version}\r\nHost: ${new URL(origin).host}\r\nAuthorization: ${authorization}\r\nConnection: Upgrade, close\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${TUNNEL_PROTOCOL}\r\n\r\n`;
      t.match(await raw(t, gateway.ports.http, opening).ended, /^HTTP\/1\.1 426 /, `${protocol} in HTTP/${version}`);
    }
    t.equal(await asked(t, { authorization }), 101, 'and this is how it is done');
  });

  t.test('B: within a tunnel a client is nobody else, and nothing counts before it is in', async (t) => {
    const { port } = await localPort(t, gateway, alice);
    const early = await wire(t, port);
    early.send(start({ user: 'alice', database: 'orders-db' }), query('select 1'));
    t.match(
      (await early.rest()).map(({ type }) => type),
      ['E'],
    );
    const elsewhere = await wire(t, port);
    elsewhere.send(start({ user: 'alice', database: 'payments' }));
    const [refusal] = await elsewhere.rest();
    t.match(refusal?.body.toString(), /3D000.*leads to orders-db/s);
    const ssl = await wire(t, port);
    ssl.send(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
    t.equal((await ssl.bytes(1)).toString(), 'N', 'the tunnel is encrypted; there is no TLS within it');
    const client = await tunnelled(t, port, { user: `lee+${id}` });
    t.match((await client.query('select count(*) from orders')).rows, [{ count: '1000' }]);
    await t.rejects(client.query('delete from orders'), { code: '42501' }, 'each statement is decided as everywhere');
    const opened = (await gateway.events()).filter(({ kind }) => kind === 'open');
    t.match(opened.at(-1)?.facts, { principal: 'alice', via: 'tunnel' });
    t.notMatch(JSON.stringify([gateway.lines, await gateway.events()]), new RegExp(alice));
  });

  t.test('C19: a message in countless pieces is held by nobody until it is whole', async (t) => {
    const headers = { host: new URL(origin).host, authorization };
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.http}${path}`, TUNNEL_PROTOCOL, { headers });
    t.teardown(() => socket.terminate());
    socket.on('error', () => {});
    await once(socket, 'open');
    const ended = once(socket, 'close');
    for (let n = 0; n < 2_000; n += 1) socket.send('x', { binary: true, fin: false });
    t.match(await ended, [1008]);
  });

  t.test('B: whoever is logged out, or whose account is closed, loses what is open', async (t) => {
    for (const end of [
      "update daypass.tokens set ended_at = now() where principal = 'alice'",
      "update daypass.logins set ended_at = now() where principal = 'alice'",
      "update daypass.people set closed_at = now() where subject = 'alice'",
    ]) {
      const token = await tokenOf(gateway, 'alice');
      const { port, told, endings } = await localPort(t, gateway, token);
      const client = await tunnelled(t, port);
      await gateway.ledger.query(end);
      await waitUntil('the cut', () => endings.length > 0);
      t.match(endings, [{ code: 4001, reason: /^logged_out: / }], end);
      t.match(told, [/^cut logged_out/]);
      await t.rejects(client.query('select 1'));
      t.equal(await asked(t, { authorization: `Bearer ${token}` }), 401);
    }
  });
});
