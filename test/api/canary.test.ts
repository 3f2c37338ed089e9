import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inflateRawSync } from 'node:zlib';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { linkFor, NAVIGATION, startBrowsing } from '../http/browser/fixture.js';
import { ordersDatabase } from '../postgres/fixture.js';
import { until } from '../recording/fixture.js';
import { startGateway, throughGateway } from '../support/gateway.js';

t.test('THREATS A16, D27: the secret of a handle is in no table, no block and no log line', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const { handle, id } = await gateway.issue({ service: 'orders-db' });
  const secret = (handle.split('_')[2] ?? '').slice(0, -1);
  const hex = Buffer.from(secret).toString('hex');
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query(`select '${handle}' as x from orders limit 1`);
  await client.query('select $1::text as x from orders limit 1', [handle]);
  await client.query('select $1::bytea as x from orders limit 1', [Buffer.from(handle)]);
  // Cut off by the record's bound in the last character of the secret.
  await client.query('select $1::text as x from orders limit 1', [`${'x'.repeat(1024 - handle.length + 1)}${handle}`]);
  await t.rejects(client.query(`delete from orders where customer = '${handle}'`));
  await t.rejects(client.query(`select '${handle}' from "${handle}"`));
  await client.end();
  await t.rejects(throughGateway(t, gateway.ports.postgres, handle, { user: 'mallory' }));
  await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: `leaked ${handle}`, by: handle });
  await gateway.operator('GET', `/v1/grants/${handle}`);
  await until(gateway.ledger, `(select coalesce(sum(actions), 0) from daypass.block_index) >= 5`);
  await gateway.stop();
  const tables = await gateway.ledger.query<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = 'daypass'`,
  );
  t.ok(tables.length > 5);
  for (const { name } of tables) {
    const rows = await gateway.ledger.query<{ row: string }>(`select r::text as row from daypass.${name} r`);
    t.notOk(
      rows.some(({ row }) => row.includes(secret) || row.includes(hex)),
      `table ${name}, ${rows.length} rows`,
    );
  }
  const blocks = await gateway.ledger.query<{ payload: Buffer }>('select payload from daypass.blocks');
  const recorded = blocks.map(({ payload }) => inflateRawSync(payload).toString()).join('\n');
  t.notOk(recorded.includes(secret), 'the blocks, unpacked');
  t.notOk(recorded.includes(hex), 'nor in hexadecimal');
  t.ok(recorded.includes(`dp_${id}_[redacted]`), 'though the statements that held it are recorded');
  t.ok(gateway.lines.length > 0);
  t.notOk(JSON.stringify(gateway.lines).includes(secret), 'the log');
});

t.test('THREATS A16, D27: the secret of a handle that is sent over HTTP stands nowhere, in no spelling', async (t) => {
  const server = createServer((req, res) => req.resume().once('end', () => res.end('ok'))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new WebSocketServer({ server });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const policy = `
service: web
protocol: http
lane: production
owner: group:leads
upstream: { url: "http://127.0.0.1:${port}" }
roles:
  viewer: { allow: [GET /x, POST /x, WS /live] }
grants: { max_duration: 8h, max_renewals: 2 }
recording: { mode: strict }
`;
  const gateway = await startGateway(t, { services: { web: policy } });
  const { handle } = await gateway.issue({ service: 'web' });
  const secret = handle.split('_')[2] ?? '';
  const hex = Buffer.from(handle).toString('hex');
  const base64 = ['', 'x', 'xy'].map((before) => Buffer.from(before + handle).toString('base64'));
  const spellings = [handle, `%64${handle.slice(1)}`, hex, ...base64];
  const send = (path: string, headers: Record<string, string> = {}, body?: string) =>
    fetchFrom(gateway.ports.http, path, { host: 'web.localhost', 'daypass-handle': handle, ...headers }, body);
  for (const spelled of spellings) {
    const asked = await send(`/x?h=${encodeURIComponent(spelled).replaceAll('%25', '%')}`);
    t.ok([200, 400].includes(asked), `${asked}`);
    t.equal(await send('/x', { referer: `https://a.test/?h=${spelled}`, 'x-note': spelled }), 200);
    const types = ['application/json', 'application/x-www-form-urlencoded', 'text/plain'];
    for (const type of types)
      t.equal(await send('/x', { 'content-type': type }, `{"a":"${spelled}"}&b=${spelled}`), 200);
    for (const kept of [20, 40, 68]) {
      const cut = 'x'.repeat(8 * 1024 - kept - 1);
      t.equal(await send('/x', { 'content-type': 'text/plain' }, `${cut} ${spelled} and more`), 200);
    }
  }
  for (const encoding of ['utf16le', 'latin1'] as const) {
    t.equal(
      await send('/x', { 'content-type': 'text/plain' }, Buffer.from(`\xff${handle}`, encoding).toString('latin1')),
      200,
    );
  }
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.http}/live`, {
    headers: { host: 'web.localhost', 'daypass-handle': handle },
  });
  await once(socket, 'open');
  for (const spelled of spellings) {
    socket.send(spelled);
    socket.send(Buffer.concat([Buffer.from([255, 0]), Buffer.from(spelled)]));
  }
  socket.send(Buffer.from(`\xff${handle}`, 'utf16le'));
  socket.close();
  await once(socket, 'close');
  sockets.close();
  await gateway.stop();
  const blocks = await gateway.ledger.query<{ payload: Buffer }>('select payload from daypass.blocks');
  const recorded = blocks.map(({ payload }) => inflateRawSync(payload).toString()).join('\n');
  t.match(recorded, /\[redacted\]/);
  const digested = [...recorded.matchAll(/"frame":"binary","bytes":\d+,"sha256":"[0-9a-f]{64}"/g)];
  t.equal(digested.length, spellings.length + 1, 'frames that are no text are kept as their digest');
  const index = await gateway.ledger.query<{ row: string }>('select r::text as row from daypass.block_index r');
  const places = {
    recorded,
    index: JSON.stringify(index),
    log: JSON.stringify(gateway.lines),
  };
  const traces = [secret, secret.slice(0, 16), hex.slice(-40), ...base64.map((text) => text.slice(-24, -4))];
  for (const [place, text] of Object.entries(places)) {
    for (const trace of traces) t.notOk(text.includes(trace), place);
    t.notOk(text.replaceAll('\0', '').includes(secret), place);
  }
});

t.test(
  'THREATS A16, D27: login links, codes and cookies are in no table, no block, no log line and no service',
  async (t) => {
    const { gateway, service, browser } = await startBrowsing(t);
    await gateway.issue({ service: 'web' });
    const alice = browser();
    const link = await linkFor(gateway);
    await alice.logIn(link);
    const { way, body } = await alice.visit('web.localhost', '/orders?x=1');
    const addresses = way.join(' ');
    const code = /code=([\w-]+)/.exec(addresses)?.[1] ?? '';
    const cookies = ['localhost', 'web.localhost'].map(
      (host) => /__Host-daypass=([\w-]{43})/.exec(alice.cookies(host))?.[1] ?? '',
    );
    const secrets = [link, code, ...cookies];
    for (const secret of secrets) t.match(secret, /^[\w-]{43}$/);
    // What goes wrong must not tell, either.
    await alice.logIn(link);
    await alice.ask('web.localhost', `/.daypass/enter?code=${code}`, { headers: NAVIGATION });
    await alice.ask('web.localhost', `/.daypass/enter?code=${code}`, {
      method: 'POST',
      headers: { referer: `http://x/?code=${code}` },
    });
    await alice.ask('web.localhost', '/x', {
      headers: { ...NAVIGATION, referer: `http://web.localhost/.daypass/enter?code=${code}` },
    });
    await alice.ask('shop.localhost', '/', { headers: { ...NAVIGATION, cookie: alice.cookies('web.localhost') } });
    await gateway.operator('POST', '/v1/logouts', { principal: 'alice', reason: 'done', by: 'ops' });
    await gateway.stop();
    const tables = await gateway.ledger.query<{ name: string }>(
      `select table_name as name from information_schema.tables where table_schema = 'daypass'`,
    );
    const places: Record<string, string> = { log: JSON.stringify(gateway.lines), service: service.seen.join() + body };
    for (const { name } of tables) {
      const rows = await gateway.ledger.query<{ row: string }>(`select r::text as row from daypass.${name} r`);
      places[name] = rows.map(({ row }) => row).join('\n');
    }
    const blocks = await gateway.ledger.query<{ payload: Buffer }>('select payload from daypass.blocks');
    places.recorded = blocks.map(({ payload }) => inflateRawSync(payload).toString()).join('\n');
    t.match(places.recorded, 'GET /orders?x=1');
    for (const [place, text] of Object.entries(places)) {
      for (const secret of secrets) {
        const hex = [secret, Buffer.from(secret, 'base64url')].map((it) => Buffer.from(it).toString('hex'));
        for (const trace of [secret, ...hex]) t.notOk(text.includes(trace), place);
      }
    }
  },
);

/** One request; the body's characters are its bytes. */
function fetchFrom(port: number, path: string, headers: Record<string, string>, body?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const req = request({ port, path, headers, method: body === undefined ? 'GET' : 'POST' });
    req.once('response', (res) => res.resume().once('end', () => resolve(res.statusCode ?? 0)));
    req.once('error', reject);
    req.end(body, 'latin1');
  });
}
