import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
import { addPeople, DUTIES } from '../api/ground.js';
import { startService, webPolicy } from '../http/browser/fixture.js';
import { raw, startGateway } from '../http/gateway.js';
import { bareService, rawService } from '../http/raw-service.js';
import { scrape } from '../metrics/scrape.js';
import { ordersDatabase } from '../postgres/fixture.js';
import { tokenOf } from '../postgres/tunnel.js';
import { throughGateway } from '../support/gateway.js';
import { startGatewayProcess } from '../support/gateway-process.js';
import { ledgerDatabase } from '../support/ledger.js';
import { waitUntil } from '../support/wait.js';

const ask = (credential: string, host = 'web.localhost', path = '/') =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${credential}\r\n\r\n`;

const OPENING =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';

t.test('one person who opens all they can keeps nobody else out', async (t) => {
  const [ledger, orders, service] = [await ledgerDatabase(t), await ordersDatabase(t), await startService(t)];
  const gateway = await startGatewayProcess(t, {
    ledger,
    services: { 'orders-db': orders.policy(), web: webPolicy(service.url) },
    env: orders.env,
    settings: DUTIES,
    descriptors: 400,
  });
  const { http, postgres, health } = gateway.ports;
  await addPeople({ ledger });
  const grantOf = async (principal: string, service: string) => (await gateway.issue({ principal, service })).handle;
  const [mine, hers] = [await grantOf('alice', 'web'), await grantOf('bob', 'web')];
  const [myDatabase, herDatabase] = [await grantOf('alice', 'orders-db'), await grantOf('bob', 'orders-db')];
  const token = await tokenOf(gateway, 'alice');
  const open = (handle: string) =>
    new WebSocket(`ws://127.0.0.1:${http}/live`, { headers: { host: 'web.localhost', 'daypass-handle': handle } });
  const inDatabase = await throughGateway(t, postgres, myDatabase);
  const inSocket = open(mine).on('error', () => {});
  t.teardown(() => inSocket.terminate());
  await once(inSocket, 'open');

  for (const [what, says] of [
    ['requests to a service', ask(`Daypass-Handle: ${mine}`)],
    ['requests to the API', ask(`Authorization: Bearer ${token}`, 'localhost', '/api/v1/me')],
  ] as const) {
    await t.test(`connections that are kept behind ${what}`, async (t) => {
      const all: Socket[] = [];
      let refused = 0;
      t.teardown(() => {
        for (const socket of all) socket.destroy();
      });
      for (let at = 0; at < 300; at += 1) {
        const socket = connect({ port: http, host: '127.0.0.1' }).on('error', () => {});
        all.push(socket);
        socket.write(says);
        const [head] = await Promise.race([once(socket, 'data'), once(socket, 'close')]);
        if (/^HTTP\/1\.1 429/.test(String(head))) refused += 1;
      }
      t.ok(refused > 200, `${refused} were refused`);
      t.match(await raw(t, http, says).sees(/\}/), /^HTTP\/1\.1 429 [\s\S]*close some/i, 'and are told why');
      await t.rejects(throughGateway(t, postgres, myDatabase), { code: '53300' }, 'by a database, too');
      const [opening] = await once(
        open(mine).on('error', () => {}),
        'unexpected-response',
      ).catch(() => []);
      t.ok(opening, 'and a WebSocket');
      t.match(await raw(t, http, ask(`Daypass-Handle: ${hers}`)).sees(/\r\n\r\n/), /^HTTP\/1\.1 200/, 'others come in');
      const other = await throughGateway(t, postgres, herDatabase, { user: 'bob' });
      t.equal((await other.query('select count(*) from orders')).rows[0].count, '1000', 'there, too');
      t.equal((await inDatabase.query('select count(*) from orders')).rows[0].count, '1000', 'what was open stays');
      t.equal(inSocket.readyState, WebSocket.OPEN);
      t.equal((await gateway.operator('GET', '/v1/grants')).status, 200, 'the operator');
    });
    await waitUntil('who closes some may come in again', async () => {
      const answer = await raw(t, http, says).sees(/\r\n\r\n/);
      return /^HTTP\/1\.1 200/.test(answer);
    });
  }
  const { sum } = await scrape(`http://[::1]:${health}`);
  t.ok(sum('daypass_admissions_total', { reason: 'too_many' }) > 0);
  t.ok(gateway.lines.some(({ reason }) => reason === 'too_many'));
});

t.test('nor by WebSockets that they leave, and the service goes on with', async (t) => {
  const service = await rawService(t);
  const services = { web: { url: service.url, roles: { viewer: ['WS /**'] } } };
  const gateway = await startGateway(t, services, { mostOfPeople: 4 });
  const { handle } = gateway.issue('web');
  for (let at = 0; at < 12; at += 1) {
    const { socket, sees } = raw(t, gateway.port, ask(`Daypass-Handle: ${handle}\r\n${OPENING}`));
    await sees(/^HTTP\/1\.1 101/);
    const itsOwn = service.sockets[at]!;
    itsOwn.allowHalfOpen = true;
    socket.destroy();
    await waitUntil('it is left', () => itsOwn.readableEnded || itsOwn.destroyed);
  }
  const goesOn = () => {
    const open = service.sockets.filter(({ destroyed }) => !destroyed);
    for (const socket of open) socket.write(Buffer.from('8100', 'hex'));
    return open.length;
  };
  // None is waited for for a minute, which each may take otherwise.
  await waitUntil('what was left gives way', () => goesOn() <= 4, { seconds: 20 });
});

t.test('what was said on a WebSocket before it was left reaches its service in a full room, too', async (t) => {
  const service = await rawService(t);
  const services = { web: { url: service.url, roles: { viewer: ['WS /**'] } } };
  const gateway = await startGateway(t, services, { mostOfPeople: 2 });
  const open = async (principal: string) => {
    const { handle } = gateway.issue('web', { principal });
    const client = raw(t, gateway.port, ask(`Daypass-Handle: ${handle}\r\n${OPENING}`));
    await client.sees(/^HTTP\/1\.1 101/);
    return client.socket;
  };
  await open('bob');
  const client = await open('alice');
  const itsOwn = service.sockets[1]!;
  itsOwn.pause();
  const length = 6 * 1024 * 1024; // more than the system holds
  const head = Buffer.from('82ff000000000000000000000000', 'hex'); // binary, masked by nothing
  head.writeUInt32BE(length, 6);
  client.end(Buffer.concat([head, Buffer.alloc(length)]));
  await once(client, 'close');
  let came = 0;
  itsOwn.on('data', (chunk: Buffer) => (came += chunk.length)).resume();
  await once(itsOwn, 'close');
  t.equal(came, head.length + length);
});

t.test('nor do they with connections to a service, which rest there for each of their grants', async (t) => {
  const kept = 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=600\r\nContent-Length: 0\r\n\r\n';
  const service = await bareService(t, (_, socket) => socket.write(kept));
  const services = { web: { url: service.url, roles: { viewer: ['GET /**'] } } };
  const gateway = await startGateway(t, services, { mostOfPeople: 20 });
  const clients = Array.from({ length: 10 }, () => raw(t, gateway.port, ''));
  for (let grants = 1; grants <= 5; grants += 1) {
    const { handle } = gateway.issue('web');
    for (const { socket } of clients) socket.write(ask(`Daypass-Handle: ${handle}`));
    await Promise.all(clients.map(({ sees }) => sees(new RegExp(`(?:HTTP/1\\.1 200[^]*){${grants}}`))));
  }
  const open = () => service.sockets.filter(({ destroyed }) => !destroyed).length;
  await waitUntil('what rests has given way', () => open() === 10);
  const { handle } = gateway.issue('web', { principal: 'bob' });
  for (let more = 1; more <= 5; more += 1) {
    await raw(t, gateway.port, ask(`Daypass-Handle: ${handle}`)).sees(/^HTTP\/1\.1 200/);
    await waitUntil('there is no more than room', () => open() === 10 - more);
  }
});
