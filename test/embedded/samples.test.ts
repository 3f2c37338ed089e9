import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import t from 'tap';
import { WebSocket } from 'ws';
import { readEnvFile } from '../../src/config/env-file.js';
import { type SamplesEnvironment, startSamples } from '../../src/embedded/samples.js';
import { createLog } from '../../src/log.js';
import { curl, start } from '../support/commands.js';
import { dataFolder } from '../support/folders.js';
import { waitUntil } from '../support/wait.js';

const log = createLog('silent');
const folder = await dataFolder(t);
const samples = await startSamples(folder, log, {});
t.teardown(() => samples.stop());

type Role = 'daypass_reader' | 'daypass_fixer';

function as(role: Role, env: SamplesEnvironment = samples.env, database = 'orders'): pg.Client {
  const [host, port] = env.ORDERS_DB_ADDRESS.split(':');
  const password = role === 'daypass_reader' ? env.ORDERS_DB_PASSWORD : env.ORDERS_DB_FIXER_PASSWORD;
  return new pg.Client({ host, port: Number(port), user: role, password, database });
}

const bearer = ['-H', `authorization: ${samples.env.ORDERS_WEB_TOKEN}`];
const page = (path: string, ...args: string[]) => curl([...bearer, ...args, `${samples.env.ORDERS_WEB_URL}${path}`]);

t.test('the orders database has rows worth looking at', async (t) => {
  const reader = as('daypass_reader');
  await reader.connect();
  t.teardown(() => reader.end());
  const count = async (from: string) => Number((await reader.query(`select count(*) as n from ${from}`)).rows[0]?.n);
  t.equal(await count('orders'), 4000);
  t.ok((await count('order_items')) > 8000);
  t.equal(await count('order_summary'), 4000);
  t.ok((await count(`orders where status = 'stuck'`)) > 50);
  t.equal(await count('orders where total_cents = 0'), 0);
});

t.test('the reader role reads three relations and does nothing else, even without any gateway', async (t) => {
  const reader = as('daypass_reader');
  await reader.connect();
  t.teardown(() => reader.end());
  const refused = async (sql: string, code: RegExp) => {
    await t.rejects(reader.query(sql), { code }, sql);
    await reader.query('rollback');
  };
  const denied = /^42501$/;
  for (const sql of ['table customers', 'table payment_methods', 'select o.cancel_everything from orders o']) {
    await refused(sql, denied);
  }
  await refused('select cancel_everything(o) from orders o', denied);
  await refused(`update orders set note = 'x'`, /^25006$/);
  for (const sql of [`update orders set note = 'x'`, 'delete from orders', `insert into order_items default values`]) {
    await refused(`begin read write; ${sql}`, denied);
  }
  for (const sql of [
    'create table mine ()',
    'create temp table mine ()',
    'create schema mine',
    `select lo_create(0)`,
  ]) {
    await refused(`begin read write; ${sql}`, denied);
  }
  await refused('select pg_terminate_backend(pg_backend_pid())', denied);
  await refused('set role orders_owner', denied);
  await refused('table pg_authid', denied);
  await refused(`copy orders to program 'cat'`, denied);
});

t.test('the fixer role reads the same and updates orders, no more', async (t) => {
  const fixer = as('daypass_fixer');
  await fixer.connect();
  t.teardown(() => fixer.end());
  t.equal((await fixer.query(`update orders set note = 'seen' where id = 7`)).rowCount, 1);
  for (const sql of ['delete from orders', 'update order_items set quantity = 2', 'table payment_methods']) {
    await t.rejects(fixer.query(sql), { code: '42501' }, sql);
  }
  await t.rejects(fixer.query('select o.cancel_everything from orders o'), { code: '42501' });
  await t.rejects(fixer.query('truncate orders'), { code: '42501' });
});

t.test('neither role reaches another database', async (t) => {
  for (const role of ['daypass_reader', 'daypass_fixer'] as const) {
    await t.rejects(as(role, samples.env, 'postgres').connect(), { code: /^(28000|42501)$/ });
  }
});

t.test('the passwords are kept 0600 and survive a restart, as do the addresses', async (t) => {
  const file = join(folder, 'samples.env');
  t.equal((await stat(file)).mode & 0o777, 0o600);
  t.same(readEnvFile(file), samples.env);
  t.notMatch(await readFile(join(folder, 'samples/postgres.log'), 'utf8'), samples.env.ORDERS_DB_PASSWORD);
});

t.test('the web app answers nobody without its token', async (t) => {
  const { ORDERS_WEB_URL: url } = samples.env;
  t.match(await curl(['-o', '/dev/null', '-w', '%{http_code}', `${url}/orders`]), { stdout: '401' });
  t.match(await curl(['-i', '-H', 'authorization: Bearer nope', `${url}/healthz`]), {
    stdout: /401[\s\S]*www-authenticate: Bearer/,
  });
  const socket = new WebSocket(`${url.replace('http', 'ws')}/live`);
  const [failure] = await once(socket, 'error');
  t.match(failure, { message: /401/ });
});

t.test('tools get JSON and browsers get pages', async (t) => {
  t.match(JSON.parse((await page('/orders?status=stuck')).stdout), { page: 1, orders: [{ status: 'stuck' }] });
  t.match(JSON.parse((await page('/orders/7')).stdout), { id: 7, items: [{ sku: String }] });
  t.match((await page('/orders/7', '-H', 'accept: text/html')).stdout, /<h1>Order 7<\/h1>/);
  t.match((await page('/orders', '-H', 'accept: text/html')).stdout, /Older orders/);
  t.match(JSON.parse((await page('/orders.json', '-H', 'accept: text/html')).stdout), { page: 1 });
  t.match((await page('/', '-H', 'accept: text/html')).stdout, /Orders by status/);
  t.match((await page('/', '-H', 'accept: text/html')).stdout, /<link rel="icon" href="data:,">/, 'none is asked for');
  t.match((await page('/healthz')).stdout, /"ok"/);
  t.match((await page('/orders/99999999', '-w', '%{http_code}')).stdout, /404$/);
  t.match((await page('//orders/7', '-w', '%{http_code}')).stdout, /404$/);
  t.match((await page('/orders/7', '-X', 'PUT', '-i')).stdout, /405[\s\S]*allow: GET, DELETE/);
  t.match((await page('/orders/7', '-I')).stdout, /200 OK[\s\S]*content-length: [1-9]/);
});

t.test('an order can be retried and deleted', async (t) => {
  const stuck = JSON.parse((await page('/orders?status=stuck')).stdout).orders[0];
  t.match(JSON.parse((await page(`/orders/${stuck.id}/retry`, '-X', 'POST')).stdout), {
    status: 'packed',
    attempts: stuck.attempts + 1,
  });
  t.equal((await page('/orders/12', '-X', 'DELETE', '-w', '%{http_code}')).stdout, '204');
  t.equal((await page('/orders/12', '-X', 'DELETE', '-o', '/dev/null', '-w', '%{http_code}')).stdout, '404');
});

t.test('the slow endpoint waits, and the stream does not end by itself', async (t) => {
  t.match((await page('/orders/slow?ms=20')).stdout, /"waited_ms":20/);
  const endless = start('curl', [
    '-q',
    '--noproxy',
    '*',
    '-sSN',
    ...bearer,
    `${samples.env.ORDERS_WEB_URL}/orders/stream?ms=10`,
  ]);
  t.match(await endless.shows(/\nid: 50\n/), /id: 1\nevent: orders\ndata: \{.*\}\n\nid: 2\n/);
  endless.process.kill();
  t.equal((await endless.finished).signal, 'SIGTERM', 'it would have gone on');
});

t.test('the WebSocket ticks and echoes', async (t) => {
  const socket = new WebSocket(`${samples.env.ORDERS_WEB_URL.replace('http', 'ws')}/live`, {
    headers: { authorization: samples.env.ORDERS_WEB_TOKEN },
  });
  const seen: { type: string }[] = [];
  socket.on('message', (data) => seen.push(JSON.parse(String(data))));
  const first = (type: string) => seen.find((message) => message.type === type);
  await once(socket, 'open');
  socket.send('hello');
  await waitUntil('an echo and a tick', () => first('echo') !== undefined && first('tick') !== undefined);
  socket.close();
  await once(socket, 'close');
  t.match(seen[0], { type: 'hello' });
  t.match(first('echo'), { text: 'hello' });
  t.match(first('tick'), { number: 1 });
});

t.test('ports that are taken are replaced by free ones, which are kept; the environment may fix them', async (t) => {
  const other = await dataFolder(t);
  const first = await startSamples(other, log, {});
  t.not(first.env.ORDERS_DB_ADDRESS, samples.env.ORDERS_DB_ADDRESS);
  t.not(first.env.ORDERS_WEB_URL, samples.env.ORDERS_WEB_URL);
  await first.stop();
  const second = await startSamples(other, log, {});
  await second.stop();
  t.same(second.env, first.env, 'addresses, passwords and token are the same after a restart');

  const squatter = createServer().listen(Number(first.env.ORDERS_DB_ADDRESS.split(':')[1]), '127.0.0.1');
  await once(squatter, 'listening');
  t.teardown(() => squatter.close());
  const third = await startSamples(other, log, { DAYPASS_SAMPLES_WEB: first.env.ORDERS_WEB_URL.slice(7) });
  t.teardown(() => third.stop());
  t.not(third.env.ORDERS_DB_ADDRESS, first.env.ORDERS_DB_ADDRESS);
  t.equal(third.env.ORDERS_WEB_URL, first.env.ORDERS_WEB_URL);
  const reader = as('daypass_reader', third.env);
  await reader.connect();
  await reader.end();
  await t.rejects(startSamples(await dataFolder(t), log, { DAYPASS_SAMPLES_PG: '0.0.0.0:5433' }), {
    code: 'samples_address',
  });
});
