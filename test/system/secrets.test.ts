import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import t from 'tap';
import { startEcho } from '../http/echo.js';
import { raw } from '../http/gateway.js';
import { ordersDatabase } from '../postgres/fixture.js';
import { startGateway } from '../support/gateway.js';
import { connected } from '../support/postgres.js';

t.test('after a reload an open session of a web service is sent the secret that its file now holds', async (t) => {
  const echo = await startEcho(t);
  const gateway = await startGateway(t, {
    services: {
      web: [
        'service: web',
        'protocol: http',
        'lane: production',
        'owner: group:leads',
        `upstream: { url: '${echo.url}', headers: { x-api-key: { file: web.key } } }`,
        'roles: { viewer: { allow: [GET /**] } }',
        'grants: { max_duration: 1h, max_renewals: 0 }',
        'recording: { mode: strict }',
      ].join('\n'),
    },
    files: { 'web.key': 'the-first-key' },
  });
  const { handle } = await gateway.issue({ service: 'web', role: 'viewer' });
  const sent = async () => {
    const head = `GET / HTTP/1.1\r\nHost: web.localhost\r\nDaypass-Handle: ${handle}\r\nConnection: close\r\n\r\n`;
    t.match(await raw(t, gateway.ports.http, head).ended, /^HTTP\/1\.1 200 /);
    return echo.requests.at(-1)?.headers.find(([name]) => name === 'x-api-key')?.[1];
  };
  t.equal(await sent(), 'the-first-key');
  await writeFile(join(gateway.configDirectory, 'web.key'), 'the-second-key');
  t.match(await gateway.operator('POST', '/v1/reload', {}), { status: 200 });
  t.equal(await sent(), 'the-second-key');
  const opened = (await gateway.events()).filter(({ kind }) => kind === 'open');
  t.equal(opened.length, 1, 'in the same session');
});

t.test(
  'a password that is replaced on the server and in its file ends no open session, and serves new ones',
  async (t) => {
    const orders = await ordersDatabase(t);
    const gateway = await startGateway(t, {
      services: { 'orders-db': orders.policy().replace('{ env: READER_PASSWORD }', '{ file: reader.password }') },
      env: orders.env,
      files: { 'reader.password': 'reader-secret' },
    });
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const login = { host: '127.0.0.1', port: gateway.ports.postgres, database: 'orders-db', user: 'alice' };
    const client = () => connected(t, { ...login, password: handle });
    const counted = async (open: pg.Client) => (await open.query('select count(*)::int as n from orders')).rows;
    const before = await client();
    t.same(await counted(before), [{ n: 1000 }]);

    await orders.database.query(`alter role reader_${orders.database.name} password 'another-secret'`);
    await writeFile(join(gateway.configDirectory, 'reader.password'), 'another-secret');
    t.match(await gateway.operator('POST', '/v1/reload', {}), { status: 200 });
    t.same(await counted(await client()), [{ n: 1000 }]);
    t.same(await counted(before), [{ n: 1000 }]);
    t.notOk(gateway.lines.some(({ msg }) => msg === 'the catalog cannot be read'));
  },
);
