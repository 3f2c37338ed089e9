import { request } from 'node:http';
import type pg from 'pg';
import t from 'tap';
import { addPeople, DUTIES } from '../api/ground.js';
import { startService, webPolicy } from '../http/browser/fixture.js';
import { ordersDatabase } from '../postgres/fixture.js';
import { localPort, tokenOf } from '../postgres/tunnel.js';
import { selfSigned } from '../support/certificate.js';
import { startGateway, unconnected } from '../support/gateway.js';
import { addresses, binaryHeader, PROXY, startProxy } from '../support/passing-proxy.js';
import { cstring, fields, front, start, wire } from '../support/wire.js';

t.test('listed proxies of a whole gateway', async (t) => {
  const [orders, service, pair] = [await ordersDatabase(t), await startService(t), await selfSigned()];
  const proxies = `proxies: { postgres: { from: [${PROXY}] }, http: { from: [127.0.0.1], client: x-forwarded-for } }`;
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy(), web: webPolicy(service.url) },
    settings: `${DUTIES}\n${proxies}\ntls: { cert: { file: tls.crt }, key: { file: tls.key }, http: false }`,
    files: { 'tls.crt': pair.cert, 'tls.key': pair.key },
    env: orders.env,
  });
  await addPeople(gateway);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { postgres, http } = gateway.ports;
  const login = async (port: number, ssl: pg.ClientConfig['ssl']) => {
    const client = unconnected(port, handle, { ssl });
    t.teardown(() => client.end().catch(() => {}));
    await client.connect();
    return (await client.query('select count(*) from orders')).rows[0].count;
  };
  const clients = async () =>
    (await gateway.events()).filter(({ kind }) => kind === 'open').map(({ facts }) => facts.client);
  const refused = () => gateway.lines.findLast(({ msg }) => msg === 'a connection was refused');

  t.test('A4: the client of a database is whom a listed proxy names, through TLS and in the record', async (t) => {
    for (const header of ['PROXY TCP4 203.0.113.7 1.1.1.1 4711 2\r\n', binaryHeader(addresses([203, 0, 113, 7]))])
      t.equal(await login(await startProxy(t, postgres, header), { rejectUnauthorized: false }), '1000');
    t.same(await clients(), ['203.0.113.7:4711', '203.0.113.7:4711']);
  });

  t.test('C: a client from afar needs TLS, also behind a proxy on this machine', async (t) => {
    const far = await startProxy(t, postgres, 'PROXY TCP4 203.0.113.7 1.1.1.1 4711 2\r\n');
    await t.rejects(login(far, false), { code: '28000', message: /requires TLS/ });
    t.match(refused(), { client: '203.0.113.7:4711', rule: 'TLS off loopback' });
    for (const nobody of ['PROXY UNKNOWN\r\n', binaryHeader(Buffer.alloc(0), { family: 0 })]) {
      const plain = login(await startProxy(t, postgres, nobody), false);
      await t.rejects(plain, { code: '28000', message: /requires TLS/ }, 'whom it does not know may be anywhere');
    }
    const near = await startProxy(t, postgres, 'PROXY TCP4 127.0.0.9 1.1.1.1 4711 2\r\n');
    t.equal(await login(near, false), '1000');
    t.equal(
      await login(await startProxy(t, postgres, binaryHeader(Buffer.alloc(0), { command: 0x20 })), false),
      '1000',
    );
    t.match((await clients()).slice(-2), ['127.0.0.9:4711', new RegExp(`^${PROXY}:`)]);
  });

  t.test('A4: a listed proxy without a header, and a header of anybody else, are garbage', async (t) => {
    const greeting = start({ user: 'alice', database: 'orders-db' });
    const bare = await wire(t, await startProxy(t, postgres, ''));
    bare.send(greeting);
    t.same(await bare.rest(), []);
    t.match(refused(), { rule: 'PROXY header of a listed proxy', client: new RegExp(`^${PROXY}:`) });
    for (const header of ['PROXY TCP4 203.0.113.7 1.1.1.1 4711 2\r\n', binaryHeader(addresses([203, 0, 113, 7]))]) {
      const twice = await wire(
        t,
        await startProxy(t, postgres, Buffer.concat([Buffer.from(header), Buffer.from(header)])),
      );
      const other = await wire(t, postgres);
      other.send(Buffer.from(header));
      for (const client of [twice, other]) {
        client.send(greeting, front('p', cstring(handle)));
        const [refusal, ...more] = await client.rest();
        t.match(refusal && fields(refusal), { C: '08P01' });
        t.same(more, []);
      }
    }
    t.equal((await clients()).length, 4, 'nobody was let in');
  });

  const asked = (address: string, path: string) =>
    new Promise<number>((resolve, reject) => {
      const headers = { host: `localhost:${http}`, 'x-forwarded-for': `6.6.6.6, ${address}` };
      const req = request({ host: '127.0.0.1', port: http, path, agent: false, headers }, (res) => {
        res.resume();
        resolve(res.statusCode ?? 0);
      });
      req.once('error', reject);
      req.end();
    });

  t.test('A4: strangers behind one proxy are counted apart', async (t) => {
    let answer = 401;
    for (let times = 0; times < 70 && answer === 401; times += 1) answer = await asked('203.0.113.7', '/api/v1/me');
    t.equal(answer, 429);
    t.equal(await asked('203.0.113.8', '/api/v1/me'), 401);
  });

  t.test('A4: within a tunnel nobody is a proxy, even where its other end is one', async (t) => {
    await gateway.issue({ service: 'web' });
    const { port } = await localPort(t, gateway, await tokenOf(gateway, 'alice'), 'web');
    const told = await new Promise<Record<string, string>>((resolve, reject) => {
      const headers = { host: '127.0.0.1:1', 'x-forwarded-for': '6.6.6.6', 'x-forwarded-proto': 'https' };
      const req = request({ host: '127.0.0.1', port, path: '/a', agent: false, headers }, (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        res.once('end', () => resolve(JSON.parse(text)));
      });
      req.once('error', reject);
      req.end();
    });
    t.match(told, { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' });
  });
});
