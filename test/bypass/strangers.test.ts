import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as secure, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { ListedProxies } from '../../src/config/proxies.js';
import { addPeople, DUTIES } from '../api/ground.js';
import { startService, webPolicy } from '../http/browser/fixture.js';
import { startEcho } from '../http/echo.js';
import { raw, startGateway } from '../http/gateway.js';
import { scrape } from '../metrics/scrape.js';
import { ordersDatabase } from '../postgres/fixture.js';
import { localPort, tokenOf, tunnelled } from '../postgres/tunnel.js';
import { selfSigned } from '../support/certificate.js';
import { throughGateway } from '../support/gateway.js';
import { startGatewayProcess } from '../support/gateway-process.js';
import { ledgerDatabase } from '../support/ledger.js';
import { waitUntil } from '../support/wait.js';

const STRANGE = 'GET / HTTP/1.1\r\nHost: web.localhost\r\n';
const TLS_BEGUN = Buffer.from('1603010200010001fc0303', 'hex');

/** Connections from one address that say this and wait, one after the other, so that the gateway takes them in that order. */
async function crowd(t: Test, port: number, count: number, says: string | Buffer, localAddress = '127.0.0.2') {
  const all: Socket[] = [];
  const host = localAddress === '::1' ? '::1' : '127.0.0.1';
  for (let at = 0; at < count; at += 1) {
    const socket = connect({ port, host, localAddress }).on('error', () => {});
    t.teardown(() => socket.destroy());
    all.push(socket.resume());
    await once(socket, 'connect');
    socket.write(says);
  }
  return {
    all,
    open: () => all.filter(({ destroyed }) => !destroyed).length,
    leave: () => {
      for (const socket of all) socket.destroy();
    },
  };
}

const asking = (handle: string) => `${STRANGE}Daypass-Handle: ${handle}\r\n\r\n`;

t.test('strangers who fill the ports of a gateway keep nobody out', async (t) => {
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
  const [web, db] = [await gateway.issue({ service: 'web' }), await gateway.issue({ service: 'orders-db' })];
  const { port } = await localPort(t, gateway, await tokenOf(gateway, 'alice'));
  const inTunnel = await tunnelled(t, port);
  const inWeb = raw(t, http, asking(web.handle));
  const inDatabase = await throughGateway(t, postgres, db.handle);
  let served = 1;
  const serves = () => inWeb.sees(new RegExp(`(?:HTTP/1\\.1 200[\\s\\S]*){${served}}`));
  await serves();
  for (const [what, where, says] of [
    ['say nothing', http, ''],
    ['leave their head unfinished', http, `${STRANGE}Daypass-Handle: `],
    ['were refused, and stay', http, `${STRANGE}\r\n`],
    ['say nothing', postgres, ''],
    ['stop amid their login', postgres, Buffer.from('0000000804d2162f', 'hex')],
  ] as const) {
    await t.test(`${where === http ? 'HTTP' : 'Postgres'}: they ${what}`, async (t) => {
      // Of the address that who is in has, too: those came first, so they would be the first to go.
      const strangers = await crowd(t, where, 450, says, '127.0.0.1');
      await waitUntil('there is room again', () => strangers.open() <= 100);
      t.ok(strangers.open() > 50, 'and for no more than has to go');
      t.match(
        await raw(t, http, `${asking(web.handle)}`).sees(/\r\n\r\n/),
        /^HTTP\/1\.1 200/,
        'a newcomer to a service',
      );
      const newcomer = await throughGateway(t, postgres, db.handle);
      t.equal((await newcomer.query('select count(*) from orders')).rows[0].count, '1000', 'and to a database');
      t.match(await raw(t, http, `GET / HTTP/1.1\r\nHost: localhost\r\n\r\n`).sees(/\r\n\r\n/), /^HTTP/, 'and a page');
      t.equal((await fetch(`http://[::1]:${health}/readyz`)).status, 200, 'who looks whether it is well');
      t.equal((await gateway.operator('GET', '/v1/grants')).status, 200, 'the operator');
      for (const client of [inDatabase, inTunnel, newcomer])
        t.equal((await client.query('select count(*) from orders')).rows[0].count, '1000', 'who is in goes on');
      served += 1;
      inWeb.socket.write(asking(web.handle));
      await serves();
      strangers.leave();
    });
  }
  const said = gateway.lines.filter(({ msg }) => msg === 'too many strangers are connected');
  t.match(said, [{ client: '127.0.0.1' }]);
  t.equal(said.length, 1, 'once for all of them');
  const { sum } = await scrape(`http://[::1]:${health}`);
  t.ok(sum('daypass_strangers_closed_total', { protocol: 'http' }) > 900);
  t.ok(sum('daypass_strangers_closed_total', { protocol: 'postgres' }) > 600);
});

t.test('strangers who fill the health port keep nobody out, and no probe', async (t) => {
  const [ledger, service] = [await ledgerDatabase(t), await startService(t)];
  const services = { web: webPolicy(service.url) };
  const gateway = await startGatewayProcess(t, { ledger, services, descriptors: 400 });
  const { http, health } = gateway.ports;
  const { handle } = await gateway.issue({ service: 'web' });
  const strangers = await crowd(t, health, 450, 'GET / HTTP/1.1\r\n', '::1');
  const answer = await raw(t, http, asking(handle)).sees(/\r\n\r\n/);
  t.match(answer, /^HTTP\/1\.1 200/);
  t.equal((await fetch(`http://[::1]:${health}/readyz`)).status, 200);
  t.ok(strangers.open() <= 128);
});

t.test('whoever has a login at the API stays, as long as they show it', async (t) => {
  const [ledger, service] = [await ledgerDatabase(t), await startService(t)];
  const services = { web: webPolicy(service.url) };
  const gateway = await startGatewayProcess(t, { ledger, services, settings: DUTIES, descriptors: 400 });
  await addPeople({ ledger });
  const token = await tokenOf(gateway, 'alice');
  const me = 'GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\n';
  const loggedIn = raw(t, gateway.ports.http, `${me}Authorization: Bearer ${token}\r\n\r\n`);
  await loggedIn.sees(/^HTTP\/1\.1 200/);
  const first = await crowd(t, gateway.ports.http, 300, '', '127.0.0.1');
  await waitUntil('there is room again', () => first.open() <= 100);
  t.notOk(loggedIn.socket.destroyed);
  loggedIn.socket.write(`${me}\r\n`);
  await loggedIn.sees(/HTTP\/1\.1 401/);
  await crowd(t, gateway.ports.http, 300, '', '127.0.0.1');
  await waitUntil('it went as the oldest', () => loggedIn.socket.destroyed);
});

t.test('amid a TLS handshake they are strangers, too, and behind it', async (t) => {
  const tls = await selfSigned();
  const echo = await startEcho(t);
  const web = { url: echo.url, roles: { viewer: ['GET /**'] } };
  const gateway = await startGateway(t, { web }, { tls, mostStrangers: 5 });
  const known = secure({ port: gateway.port, host: '127.0.0.1', rejectUnauthorized: false });
  t.teardown(() => known.destroy());
  known.write(asking(gateway.issue('web').handle));
  t.match(String((await once(known, 'data'))[0]), /^HTTP\/1\.1 200/);
  const strangers = await crowd(t, gateway.port, 12, TLS_BEGUN);
  await waitUntil('there is room again', () => strangers.open() === 5);
  const oldest = strangers.all.map((_, at) => at < 7);
  t.same(
    strangers.all.map(({ destroyed }) => destroyed),
    oldest,
    'the oldest went',
  );
  const secured: TLSSocket[] = [];
  for (let at = 0; at < 12; at += 1) {
    const socket = secure({ port: gateway.port, host: '127.0.0.1', rejectUnauthorized: false }).on('error', () => {});
    t.teardown(() => socket.destroy());
    secured.push(socket.resume());
    await once(socket, 'secureConnect');
  }
  await waitUntil('there is room again', () => secured.filter(({ destroyed }) => !destroyed).length === 3);
  t.equal(strangers.open(), 2, 'half of it for each address');
  t.notOk(known.destroyed, 'who was let in is none, though it came first');
});

t.test('who was let in once, and is not any more, is a stranger', async (t) => {
  const echo = await startEcho(t);
  const options = { mostStrangers: 5 };
  const gateway = await startGateway(t, { web: { url: echo.url, roles: { viewer: ['GET /**'] } } }, options);
  const { id, handle } = gateway.issue('web');
  const hoard = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const client = raw(t, gateway.port, asking(handle));
      await client.sees(/HTTP\/1\.1 200/);
      return client;
    }),
  );
  gateway.revoke(id);
  await waitUntil('the session is cut', () => gateway.gate.live.registry.all().length === 0);
  const open = () => hoard.filter(({ socket }) => !socket.destroyed).length;
  t.equal(open(), 12);
  for (const { socket } of hoard) socket.write(asking(handle));
  await waitUntil('there is room again', () => open() === 5);
});

t.test('strangers are counted by whom a proxy names; one that asks for many is no stranger', async (t) => {
  const from = new ListedProxies(['127.0.0.2']);
  const naming = await startGateway(t, {}, { mostStrangers: 4, proxies: { from, client: 'proxy-protocol' } });
  const named = (address: string, count: number) =>
    crowd(t, naming.port, count, `PROXY TCP4 ${address} 1.1.1.1 4711 80\r\n${STRANGE}`);
  const [one, many] = [await named('192.0.2.1', 1), await named('192.0.2.2', 9)];
  await waitUntil('there is room again', () => many.open() === 3);
  t.equal(one.open(), 1);
  const telling = await startGateway(t, {}, { mostStrangers: 4, proxies: { from, client: 'x-forwarded-for' } });
  const proxy = await crowd(t, telling.port, 9, `${STRANGE}X-Forwarded-For: 192.0.2.1\r\n\r\n`);
  const strangers = await crowd(t, telling.port, 9, STRANGE, '127.0.0.3');
  await waitUntil('there is room again', () => strangers.open() === 4);
  t.equal(proxy.open(), 9);
});

t.test('whoever fills the ports from thousands of addresses has nobody go first who comes with six', async (t) => {
  const echo = await startEcho(t);
  const proxies = { from: new ListedProxies(['127.0.0.2']), client: 'proxy-protocol' } as const;
  const services = { web: { url: echo.url, roles: { viewer: ['GET /**'] } } };
  const gateway = await startGateway(t, services, { mostStrangers: 100, proxies });
  const from = (address: string, says: string) => {
    const [family, own] = address.includes(':') ? ['TCP6', '::1'] : ['TCP4', '192.0.2.9'];
    return crowd(t, gateway.port, 1, `PROXY ${family} ${address} ${own} 4711 80\r\n${says}`);
  };
  const { handle } = gateway.issue('web');
  for (const [whose, addressOf] of [
    ['/64s', (at: number) => `2001:db8:1:${at}::1`],
    ['IPv4 addresses', (at: number) => `198.51.100.${at}`],
  ] as const) {
    const strangers: Awaited<ReturnType<typeof from>>[] = [];
    for (let at = 0; at < 110; at += 1) strangers.push(await from(addressOf(at), STRANGE));
    // Amid their heads, as on a slow line; meanwhile more come.
    const browser = await Promise.all(
      Array.from({ length: 6 }, async () => (await from('192.0.2.1', STRANGE)).all[0]!),
    );
    for (let at = 110; at < 150; at += 1) strangers.push(await from(addressOf(at), STRANGE));
    const still = () => browser.filter(({ destroyed }) => !destroyed);
    await waitUntil(
      'there is room again',
      () => strangers.filter((one) => one.open() > 0).length + still().length === 100,
    );
    t.equal(still().length, 6, whose);
    for (const socket of still()) {
      socket.write(`Daypass-Handle: ${handle}\r\n\r\n`);
      t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200/);
    }
    for (const one of strangers) one.leave();
  }
});
