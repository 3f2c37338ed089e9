import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { command, type Finished } from '../support/commands.js';
import { dataFolder } from '../support/folders.js';
import { type GatewayOptions, writeConfiguration } from '../support/gateway.js';
import { CLI } from '../support/gateway-process.js';
import { ordersWeb } from '../support/orders-web.js';
import { freePort, portOf } from '../support/ports.js';
import { type Database, freshDatabase, startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';

const WEB = ordersWeb();

interface Tried extends Finished {
  /** What it says in its own words, without its log. */
  readonly said: string;
  readonly data: string;
}

/** Runs `daypass serve` until it gives up by itself. */
async function attempt(
  t: Test,
  env: Readonly<Record<string, string>>,
  options: Partial<GatewayOptions> & { file?: string; workers?: string } = {},
): Promise<Tried> {
  const data = await dataFolder(t);
  const config = join(data, 'config');
  await writeConfiguration(config, { services: { 'orders-web': WEB }, ...options });
  if (options.file !== undefined) await writeFile(join(config, 'daypass.yaml'), options.file);
  const workers = options.workers === undefined ? [] : ['--workers', options.workers];
  const finished = await command(process.execPath, [CLI, 'serve', '--config', config, '--data', data, ...workers], {
    env: { DATABASE_URL: '', REDIS_URL: '', ...env },
    timeout: 60_000,
  });
  const said = finished.stderr
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('{'))
    .join('\n');
  t.comment(said);
  return { ...finished, said, data };
}

/** It ended by itself with 1, said why, and left nothing that runs or listens. */
async function gaveUp(t: Test, tried: Tried, why: RegExp, ledger?: Database): Promise<void> {
  t.match(tried, { code: 1, signal: null, timedOut: false });
  t.match(tried.said, why);
  t.equal(tried.said.match(/^daypass: /gm)?.length, 1, 'once');
  t.notMatch(tried.said, /\n\s+at |Error:|undefined|secret/, 'in words for people, without secrets');
  t.equal(tried.stdout, '');
  t.notOk(existsSync(join(tried.data, 'daypass.sock')), 'no socket');
  if (ledger !== undefined) t.same(await ledger.query('select id from daypass.gateways'), [], 'it is signed off');
}

t.test('with Postgres down', async (t) => {
  const port = await freePort();
  await gaveUp(
    t,
    await attempt(t, { DATABASE_URL: `postgres://daypass:secret@127.0.0.1:${port}/daypass` }),
    /database .*ECONNREFUSED 127\.0\.0\.1/,
  );
  const byName = await attempt(t, { DATABASE_URL: `postgres://daypass:secret@localhost:${port}/daypass` });
  await gaveUp(t, byName, /database .*ECONNREFUSED/);
});

t.test('with a Postgres that is silent', async (t) => {
  const server = await startPostgres(t);
  await server.pause();
  const tried = await attempt(t, { DATABASE_URL: server.url() });
  await server.resume();
  await gaveUp(t, tried, /database .*time/);
});

t.test('with a wrong password for Postgres', async (t) => {
  const { server } = await freshDatabase(t);
  const tried = await attempt(t, {
    DATABASE_URL: `postgres://${server.user}:secret-guess@127.0.0.1:${server.port}/postgres`,
  });
  await gaveUp(t, tried, /database .*password authentication failed/);
});

t.test('with Redis down, or evicting', async (t) => {
  const ledger = await freshDatabase(t);
  const gone = await attempt(t, { DATABASE_URL: ledger.url, REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
  await gaveUp(t, gone, /grant store .*ECONNREFUSED/);
  const redis = await startRedis(t, ['--maxmemory-policy', 'allkeys-lru']);
  const evicting = await attempt(t, { DATABASE_URL: ledger.url, REDIS_URL: redis.url });
  await gaveUp(t, evicting, /may evict keys \(maxmemory-policy is allkeys-lru\)/);
});

async function takenPort(t: Test): Promise<number> {
  const taken = createServer().listen(0, '127.0.0.1');
  t.teardown(() => taken.close());
  await once(taken, 'listening');
  return portOf(taken.address());
}

t.test('with a port that is taken: whichever it is', async (t) => {
  const ledger = await freshDatabase(t);
  const port = await takenPort(t);
  for (const [one, words] of [
    ['http', /HTTP/],
    ['postgres', /Postgres/],
    ['health', /health/],
  ] as const) {
    const listen = { http: 0, postgres: 0, health: 0, [one]: port };
    const addresses = Object.entries(listen).map(
      ([name, at], i) => `${name}: "127.0.0.${one === name ? 1 : i + 2}:${at}"`,
    );
    const file = `domain: localhost\nlisten: { ${addresses.join(', ')} }\ndatabase: { env: DATABASE_URL }\nsigning_key: { file: grant.pem }\n`;
    const tried = await attempt(t, { DATABASE_URL: ledger.url }, { file });
    await gaveUp(t, tried, new RegExp(`${words.source} .*127\\.0\\.0\\.1:${port}.*EADDRINUSE`), ledger);
    t.equal(tried.said.match(/cannot listen/g)?.length, 1, 'said once');
    t.match(tried.said, `\`listen.${one}\` of daypass.yaml`, 'and where to change it');
  }
});

t.test('with a configuration that is wrong: every problem with its place, and nothing was touched', async (t) => {
  const services = { 'orders-web': WEB.replace('lane: production', 'lane: moon').replace('GET /', 'GET nowhere') };
  const ledger = await freshDatabase(t);
  const tried = await attempt(t, { DATABASE_URL: ledger.url }, { services });
  await gaveUp(t, tried, /2 problem/);
  t.match(tried.said, /orders-web\.yaml:4:\d+ /);
  t.match(tried.said, /orders-web\.yaml:8:\d+ /);
  t.same(await ledger.query(`select nspname from pg_namespace where nspname = 'daypass'`), []);
});

t.test('with several workers, and no Redis or no database that they could share', async (t) => {
  const ledger = await freshDatabase(t);
  const redis = await startRedis(t);
  await gaveUp(t, await attempt(t, { DATABASE_URL: ledger.url }, { workers: '2' }), /need Redis/);
  await gaveUp(t, await attempt(t, { REDIS_URL: redis.url }, { workers: '2' }), /need a database/);
});

t.test('with a count of workers that is none', async (t) => {
  for (const workers of ['0', '65', '2.5', '-1', 'two', '1e1', '']) {
    t.match(await attempt(t, {}, { workers }), { code: 2, said: /from 1 to 64/ }, workers);
  }
});

t.test('with several workers and a port that is taken: said once, and no worker is left', async (t) => {
  const ledger = await freshDatabase(t);
  const redis = await startRedis(t);
  const port = await takenPort(t);
  for (const [one, words] of [
    ['http', /HTTP/],
    ['health', /health/],
  ] as const) {
    const listen = { http: '127.0.0.2:0', postgres: '127.0.0.3:0', health: '127.0.0.4:0', [one]: `127.0.0.1:${port}` };
    const addresses = Object.entries(listen).map(([name, at]) => `${name}: "${at}"`);
    const common = 'database: { env: DATABASE_URL }\nredis: { env: REDIS_URL }\nsigning_key: { file: grant.pem }';
    const file = `domain: localhost\nlisten: { ${addresses.join(', ')} }\n${common}\n`;
    const tried = await attempt(t, { DATABASE_URL: ledger.url, REDIS_URL: redis.url }, { file, workers: '2' });
    await gaveUp(t, tried, new RegExp(`${words.source} .*127\\.0\\.0\\.1:${port}.*EADDRINUSE`), ledger);
    t.equal(tried.said.match(/cannot listen/g)?.length, 1, 'said once');
    t.match(tried.said, `\`listen.${one}\` of daypass.yaml`, 'and where to change it');
    t.notMatch(tried.stderr, /started again/, 'no restart');
  }
});

t.test('with a configuration directory that is not there', async (t) => {
  const data = await dataFolder(t);
  const tried = await command(process.execPath, [CLI, 'serve', '--config', join(data, 'none'), '--data', data]);
  t.match(tried, { code: 1, stderr: /^daypass: .*\n.*none/ });
});

t.test('with the data directory of a gateway that runs', async (t) => {
  const ledger = await freshDatabase(t);
  const { startGatewayProcess } = await import('../support/gateway-process.js');
  const first = await startGatewayProcess(t, { services: { 'orders-web': WEB }, ledger });
  const { configDirectory, dataDirectory } = first;
  const second = await command(process.execPath, [CLI, 'serve', '--config', configDirectory, '--data', dataDirectory], {
    env: { DATABASE_URL: ledger.url, REDIS_URL: '' },
  });
  t.match(second, { code: 1, stderr: /daypass: .*already/ });
  t.equal((await first.operator('GET', '/v1/status')).status, 200, 'the first one is unharmed');
  t.equal((await ledger.query('select id from daypass.gateways')).length, 1);
});

t.test('with the embedded PostgreSQL under it: that one does not outlive the attempt', async (t) => {
  const port = await takenPort(t);
  const file = `domain: localhost\nlisten: { http: "127.0.0.1:${port}", postgres: "127.0.0.1:0", health: "[::1]:0" }\n`;
  const tried = await attempt(t, {}, { file });
  await gaveUp(t, tried, /HTTP .*EADDRINUSE/);
  const pidFiles = (await readdir(tried.data, { recursive: true })).filter((name) => name.endsWith('postmaster.pid'));
  t.same(pidFiles, [], 'it was stopped in order');
});
