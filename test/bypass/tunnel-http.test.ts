import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { addPeople } from '../api/ground.js';
import { openingOf, startBrowsing } from '../http/browser/fixture.js';
import { localPort, tokenOf } from '../postgres/tunnel.js';
import { curl } from '../support/commands.js';
import { waitUntil } from '../support/wait.js';

/** What the tunnels of these tests are told that their local port is. */
const DOOR = '127.0.0.1:1';

t.test('tunnels to web services', async (t) => {
  const { gateway, service } = await startBrowsing(t);
  await addPeople(gateway);
  const { id, handle } = await gateway.issue({ service: 'web' });
  const alice = await tokenOf(gateway, 'alice');
  const { port, endings } = await localPort(t, gateway, alice, 'web');
  const ask = (headers: Record<string, string | string[]> = {}, method = 'GET', path = '/a') =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      const req = request(
        { host: '127.0.0.1', port, method, path, agent: false, headers: { host: DOOR, ...headers } },
        (res) => {
          let body = '';
          res.setEncoding('utf8').on('data', (piece: string) => (body += piece));
          res.on('end', () => resolve({ status: res.statusCode ?? 0, body }));
        },
      );
      req.once('error', reject);
      req.end();
    });

  t.test('a client without a handle reaches the service, and what it asks for is decided and recorded', async (t) => {
    const asked = await curl(['-i', '-H', `Host: ${DOOR}`, `http://127.0.0.1:${port}/orders?x=1`]);
    t.match(asked, { code: 0, stdout: /^HTTP\/1\.1 200.*daypass-expires/is });
    t.equal(service.seen.at(-1), 'GET /orders?x=1');
    t.match(await ask({}, 'POST'), { status: 200 });
    t.match(await ask({}, 'DELETE'), { status: 403, body: /out_of_scope/ });
    const events = await gateway.events();
    t.match(events.find(({ kind }) => kind === 'open')?.facts, { via: 'tunnel', principal: 'alice', service: 'web' });
    t.match(
      events.filter(({ kind }) => kind === 'action').map(({ facts }) => facts.verb),
      ['GET', 'POST', 'DELETE'],
    );
  });

  t.test(
    'A: the Host of a request in a tunnel is a name of the local port, and nothing else (DNS rebinding)',
    async (t) => {
      const before = service.seen.length;
      for (const host of [
        'evil.test',
        'evil.test:1',
        '127.0.0.1',
        '127.0.0.1:2',
        'shop.localhost:1',
        'localhost',
        'web.localhost',
        '127.0.0.1:1.evil.test',
        '[::1]:1',
      ])
        t.equal((await ask({ host })).status, 421, host);
      t.equal((await ask({ host: `web.localhost:${gateway.ports.http}` })).status, 421);
      t.equal(service.seen.length, before);
      for (const host of [DOOR, 'localhost:1', 'web.localhost:1', 'LOCALHOST:1'])
        t.equal((await ask({ host })).status, 200, host);
    },
  );

  t.test('A: what another site makes a browser of this machine ask for does not pass', async (t) => {
    const before = service.seen.length;
    const origin = 'https://evil.test';
    t.equal((await ask({ origin }, 'POST')).status, 403);
    t.equal((await ask({ origin })).status, 403);
    t.equal((await ask({ origin: 'null' }, 'POST')).status, 403);
    t.equal(
      (await ask({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' })).status,
      403,
    );
    t.equal(
      (await ask({ 'sec-fetch-site': 'same-site' }, 'POST')).status,
      403,
      'another port of this machine is another site, too',
    );
    t.equal((await ask({ origin: 'http://127.0.0.1:2', 'sec-fetch-site': 'same-site' }, 'POST')).status, 403);
    const live = (headers: Record<string, string>) =>
      openingOf(t, new WebSocket(`ws://127.0.0.1:${port}/live`, { headers: { host: DOOR, ...headers } }));
    t.equal(await live({ origin }), 403);
    t.equal(service.seen.length, before);
    t.equal(await live({}), 101, 'a tool has none');
    t.equal((await ask({ origin: `http://${DOOR}`, 'sec-fetch-site': 'same-origin' }, 'POST')).status, 200);
    t.equal((await ask({ 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' })).status, 200);
  });

  t.test('B: in a tunnel there is one credential, and the gateway has no pages of its own', async (t) => {
    t.equal((await ask({ authorization: `Bearer ${handle}` })).status, 401);
    t.equal((await ask({ 'daypass-handle': handle })).status, 401);
    for (const host of [DOOR, 'web.localhost:1']) {
      const basic = `Basic ${Buffer.from(`alice:${handle}`).toString('base64')}`;
      const refused = await curl([
        '-i',
        '-H',
        `Host: ${host}`,
        '-H',
        `Authorization: ${basic}`,
        `http://127.0.0.1:${port}/`,
      ]);
      t.match(
        refused.stdout,
        /^HTTP\/1\.1 401 .*\nwww-authenticate: Bearer realm="daypass"\r/is,
        'no password is asked for',
      );
    }
    t.equal((await ask({}, 'GET', '/.daypass/begin')).status, 404);
    t.equal((await ask({ host: DOOR, 'x-forwarded-for': '1.2.3.4' })).status, 200);
  });

  t.test('B: a tunnel that is idle ends with its grant, and one whose login is over lets nothing in', async (t) => {
    const out = await tokenOf(gateway, 'alice');
    const other = await localPort(t, gateway, out, 'web');
    const kept = await curl(['-H', `Host: ${DOOR}`, `http://127.0.0.1:${other.port}/`]);
    t.equal(kept.code, 0);
    await idle(t, port);
    await idle(t, other.port);
    const gone = await fetch(`http://localhost:${gateway.ports.http}/api/v1/tokens/current`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${out}` },
    });
    t.equal(gone.status, 200);
    await waitUntil('the end of the login', () => other.endings.some((ending) => ending?.code === 4001));
    t.match(
      other.endings.find((ending) => ending?.code === 4001),
      { reason: /^logged_out/ },
    );
    t.notOk(
      endings.some((ending) => ending?.code === 4001),
      'the other login is not touched',
    );
    await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: 'over', by: 'ops' });
    await waitUntil('the end of the grant', () => endings.some((ending) => ending?.code === 4001));
    t.match(
      endings.find((ending) => ending?.code === 4001),
      { reason: /^revoked/ },
    );
  });
});

/** A connection that has asked once, and stays. */
async function idle(t: Test, port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.on('error', () => {});
  socket.write(`GET / HTTP/1.1\r\nHost: ${DOOR}\r\n\r\n`);
  await once(socket, 'data');
}
