import { generateKeyPairSync } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import Postgrator from 'postgrator';
import t, { type Test } from 'tap';
import { packageRoot } from '../../src/cli/place.js';
import { systemClock } from '../../src/clock.js';
import { createLog } from '../../src/log.js';
import { type ServeOptions, serve } from '../../src/main.js';
import { scrape, scrapeUntil } from '../metrics/scrape.js';
import { gatewayToOrders, ordersDatabase } from '../postgres/fixture.js';
import { command } from '../support/commands.js';
import { dataFolder } from '../support/folders.js';
import { ask, issueWith, writeConfiguration } from '../support/gateway.js';
import { CLI, startGatewayProcess } from '../support/gateway-process.js';
import { ordersWeb } from '../support/orders-web.js';
import { portOf } from '../support/ports.js';
import { connected, freshDatabase, startPostgres } from '../support/postgres.js';
import { redisClient, startRedis } from '../support/redis.js';
import { refusal } from './clients.js';

const WEB = ordersWeb();

/** Runs `daypass serve` until it gives up; it must do so with 1 and one complaint, in words that match. */
async function givesUp(t: Test, why: RegExp, env: Record<string, string>, key?: string | null): Promise<void> {
  const data = await dataFolder(t);
  const config = join(data, 'config');
  await writeConfiguration(config, { services: { 'orders-web': WEB }, ...(key ? { signingKey: key } : {}) });
  if (key === null) await rm(join(config, 'grant.pem'));
  const args = [CLI, 'serve', '--config', config, '--data', data];
  const ended = await command(process.execPath, args, { env: { DATABASE_URL: '', REDIS_URL: '', ...env } });
  const said = ended.stderr.split('\n').filter((line) => !line.startsWith('{'));
  t.match(ended, { code: 1, signal: null, timedOut: false });
  t.match(said.join('\n'), why);
  t.equal(said.filter((line) => line.startsWith('daypass: ')).length, 1);
  t.notMatch(said.join('\n'), /\n\s+at |PRIVATE KEY/);
}

/** Runs one statement of the superuser. */
async function once(config: pg.ClientConfig, sql: string): Promise<void> {
  const client = new pg.Client(config);
  await client.connect();
  await client.query(sql).finally(() => client.end());
}

async function readiness(port: number): Promise<{ status: number; missing: Record<string, string> }> {
  const response = await fetch(`http://[::1]:${port}/readyz`);
  const body: { missing: Record<string, string> } = JSON.parse(await response.text());
  return { status: response.status, missing: body.missing };
}

t.test('a gateway does not start on a standby, nor on a database that is read-only', async (t) => {
  const standby = await startPostgres(t, { files: { 'data/standby.signal': '' } });
  await givesUp(t, /database cannot be written: it is a standby/, { DATABASE_URL: standby.url() });
  const database = await freshDatabase(t);
  await database.query(`alter database ${database.name} set default_transaction_read_only = on`);
  await givesUp(t, /cannot be written: its transactions are read-only/, { DATABASE_URL: database.url });
});

t.test('a gateway does not start on a database that is not there', async (t) => {
  const { server } = await freshDatabase(t);
  await givesUp(t, /database is missing: database "nowhere" does not exist/, { DATABASE_URL: server.url('nowhere') });
});

t.test('a gateway does not start with a database user that may not create its schema', async (t) => {
  const { server, name } = await freshDatabase(t);
  const url = new URL(server.url(name));
  const role = `narrow_${name}`;
  await once(server.config(), `create role ${role} login password 'narrow'`);
  t.teardown(() => once(server.config(), `drop role ${role}`));
  Object.assign(url, { username: role, password: 'narrow' });
  await givesUp(t, /database could not be prepared: permission denied for database/, { DATABASE_URL: url.href });
});

t.test('a gateway does not start on a PostgreSQL or a Redis that is older than what it needs', async (t) => {
  const ledger = await freshDatabase(t);
  const [found] = await ledger.query(`select current_setting('server_version_num') as version`);
  const old = await saying(t, ledger.server.port, String(found?.version), '100023');
  const env = { DATABASE_URL: ledger.url.replace(`:${ledger.server.port}/`, `:${old}/`) };
  await givesUp(t, /database is PostgreSQL 10; Daypass needs 11 or newer/, env);
  const redis = await startRedis(t);
  const facts = await redisClient(t, redis).info('server');
  const version = /redis_version:[\d.]+/.exec(facts)?.[0] ?? '';
  const older = 'redis_version:6.0.9'.padEnd(version.length, '9');
  const REDIS_URL = `redis://127.0.0.1:${await saying(t, redis.port, version, older)}`;
  await givesUp(t, /Redis is 6\.0\.9+; Daypass needs 6\.2 or newer/, { DATABASE_URL: ledger.url, REDIS_URL });
});

t.test('a gateway that Redis does not let in says so, and not that Redis is silent', async (t) => {
  const { url } = await freshDatabase(t);
  const { port } = await startRedis(t, ['--requirepass', 'secret-of-redis']);
  const at = (login: string) => ({ DATABASE_URL: url, REDIS_URL: `redis://${login}127.0.0.1:${port}` });
  await givesUp(t, /Redis refuses the login of the gateway: NOAUTH/, at(''));
  await givesUp(t, /Redis refuses the login of the gateway: WRONGPASS/, at(':wrong@'));
});

t.test('a gateway does not start with another Ed25519 key than that of the live grants', async (t) => {
  const ledger = await freshDatabase(t);
  const gateway = await startGatewayProcess(t, { services: { 'orders-web': WEB }, ledger });
  const { id } = await gateway.issue({ service: 'orders-web' });
  const { privateKey } = generateKeyPairSync('ed25519');
  const other = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  await givesUp(t, /signing key is not the one of the live grants/, { DATABASE_URL: ledger.url }, other);
  t.equal((await gateway.operator('GET', `/v1/grants/${id}`)).body.state, 'active', 'nothing was touched');
  await gateway.stop();
  await ledger.query('update daypass.grants set revoked_at = now()');
  const after = { services: { 'orders-web': WEB }, ledger, signingKey: other };
  const rotated = await startGatewayProcess(t, after);
  t.equal((await readiness(rotated.ports.health)).status, 200, 'once they are revoked the key may be another');
});

t.test('a gateway does not start on a replica of Redis', async (t) => {
  const ledger = await freshDatabase(t);
  const primary = await startRedis(t);
  const replica = await startRedis(t, ['--replicaof', '127.0.0.1', String(primary.port)]);
  await givesUp(t, /REDIS_URL is not a primary/, { DATABASE_URL: ledger.url, REDIS_URL: replica.url });
});

t.test(
  'a gateway with a database of its own does not start without its key, nor with another kind of key',
  async (t) => {
    const env = { DATABASE_URL: (await freshDatabase(t)).url };
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const rsa = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    await givesUp(t, /daypass\.yaml:5:\d+ .*needs a signing key/, env, null);
    await givesUp(t, /daypass\.yaml:5:\d+ .*not an Ed25519 private key/, env, rsa);
    await givesUp(t, /daypass\.yaml:5:\d+ .*not an Ed25519 private key/, env, 'nonsense');
  },
);

t.test('a gateway does not start on a schema that is newer than it', async (t) => {
  const ledger = await freshDatabase(t);
  await migrateTo(t, ledger.config, 'max');
  await ledger.query(`insert into daypass.schema_version (version, name) values (9999, 'from the future')`);
  await givesUp(t, /database is at schema 9999; this gateway knows up to \d+/, { DATABASE_URL: ledger.url });
});

t.test('a gateway brings an older schema to its own version, and what was there stays', async (t) => {
  const ledger = await freshDatabase(t);
  await migrateTo(t, ledger.config, '001');
  await ledger.query(`insert into daypass.grants (id, service, principal, role, sponsor, reason, token, issued_at, not_before, expires_at, renewals)
    values ('g', 'orders-web', 'alice', 'viewer', 'dana', 'old', 'x', now(), now(), now(), 0)`);
  const gateway = await startGatewayProcess(t, { services: { 'orders-web': WEB }, ledger });
  t.equal((await readiness(gateway.ports.health)).status, 200);
  t.same(await ledger.query('select id from daypass.grants'), [{ id: 'g' }]);
  const [row] = await ledger.query(`select to_regclass('daypass.blocks') is not null as migrated`);
  t.same(row, { migrated: true });
});

/** Brings an empty database to a version of the schema, as an older gateway left it. */
async function migrateTo(t: Test, config: pg.ClientConfig, version: string): Promise<void> {
  const client = await connected(t, config);
  await client.query('create schema daypass; set search_path to daypass');
  const migrator = new Postgrator({
    driver: 'pg',
    schemaTable: 'daypass.schema_version',
    migrationPattern: join(packageRoot(), 'src/recording/migrations/*.sql'),
    newline: 'LF',
    execQuery: (query) => client.query(query),
  });
  await migrator.migrate(version);
}

for (const [how, ahead] of [
  ['ahead of', 5_000],
  ['behind', -5_000],
] as const) {
  t.test(`a gateway whose clock is 5 s ${how} that of Redis does not start`, async (t) => {
    const { options } = await clockedGateway(t, () => ahead);
    const sentence = new RegExp(`clock of this machine is [45]\\.\\d s ${how} that of Redis`);
    await t.rejects(serve(options, createLog('silent')), { code: 'clock_differs', message: sentence });
  });

  t.test(`a gateway whose clock comes to be 5 s ${how} that of Redis is not ready and admits nobody`, async (t) => {
    let apart = 0;
    const { options, data } = await clockedGateway(t, () => apart);
    const gateway = await serve(options, createLog('silent'));
    t.teardown(() => gateway.stop());
    const { health, postgres } = gateway.addresses;
    const operator = (method: string, path: string, body?: unknown) =>
      ask(join(data, 'daypass.sock'), method, path, body);
    const { handle } = await issueWith(operator, { service: 'orders-db' });
    apart = ahead;
    await scrapeUntil(`http://[::1]:${health}`, (seen) => seen.sum('daypass_ready') === 0);
    t.match(await readiness(health), { status: 503, missing: { clock: /differs from the grant store's/ } });
    t.same(Object.keys((await readiness(health)).missing), ['clock'], 'and nothing else is missing');
    const skew = (await scrape(`http://[::1]:${health}`)).sum('daypass_clock_skew_seconds');
    t.ok(Math.abs(skew - ahead / 1_000) < 0.5, `${skew} s`);
    t.match(await refusal(postgres, handle), { code: '57P03' });
    await t.rejects(issueWith(operator, { service: 'orders-db' }), /clock_differs/);
  });
}

/** What `serve` needs for a gateway over a Redis, with a clock that is `ahead` milliseconds ahead. */
async function clockedGateway(t: Test, ahead: () => number): Promise<{ options: ServeOptions; data: string }> {
  const redis = await startRedis(t);
  const orders = await ordersDatabase(t);
  const ledger = await freshDatabase(t);
  const folder = await dataFolder(t);
  const [configDirectory, data] = [join(folder, 'config'), join(folder, 'd')];
  await writeConfiguration(configDirectory, { services: { 'orders-db': orders.policy() } });
  const clock = { ...systemClock, wall: () => Date.now() + ahead() };
  const env = { ...orders.env, DATABASE_URL: ledger.url, REDIS_URL: redis.url };
  return { options: { configDirectory, dataDirectory: data, env, clock }, data };
}

/** A way to a server on which one word of its answers is another one of the same length: an older version, say. */
async function saying(t: Test, port: number, word: string, instead: string): Promise<number> {
  if (word.length !== instead.length) throw new Error(`${word} and ${instead} differ in length`);
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    client.pipe(upstream);
    upstream.on('data', (chunk) => client.write(chunk.toString('latin1').replaceAll(word, instead), 'latin1'));
    for (const socket of [client, upstream]) socket.on('error', () => {});
    client.once('close', () => upstream.destroy());
    upstream.once('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return portOf(server.address());
}

t.test('readiness asks the ledger itself, also while nobody is connected', async (t) => {
  const ledgerServer = await startPostgres(t);
  const gateway = await gatewayToOrders(t, { ledgerServer });
  const { health } = gateway.ports;
  t.equal((await readiness(health)).status, 200);
  await ledgerServer.crash();
  const origin = `http://[::1]:${health}`;
  const down = (up: number) => (seen: Awaited<ReturnType<typeof scrape>>) =>
    seen.sum('daypass_dependency_up', { dependency: 'ledger' }) === up && seen.sum('daypass_ready') === up;
  const seen = await scrapeUntil(origin, down(0));
  t.ok(seen.sum('daypass_dependency_answer_age_seconds', { dependency: 'ledger' }) > 0);
  t.match(await readiness(health), { status: 503, missing: { ledger: 'the ledger does not answer' } });
  await ledgerServer.restart();
  await scrapeUntil(origin, down(1));
  t.same(await readiness(health), { status: 200, missing: {} });
});

t.test('SIGHUP with a wrong policy changes nothing and says so; with a right one it applies', async (t) => {
  const orders = await ordersDatabase(t);
  const ledger = await freshDatabase(t);
  const gateway = await startGatewayProcess(t, { services: { 'orders-db': orders.policy() }, env: orders.env, ledger });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const file = join(gateway.configDirectory, 'services', 'orders-db.yaml');
  const origin = `http://[::1]:${gateway.ports.health}`;
  await writeFile(file, orders.policy().replace('lane: production', 'lane: moon'));
  gateway.kill('SIGHUP');
  const line = await gateway.says(/NOT reloaded/);
  t.match(line, { level: 50, problems: [/orders-db\.yaml:4:\d+ /] });
  await scrapeUntil(origin, (seen) => seen.sum('daypass_policy_reload_failed') === 1);
  t.equal((await readiness(gateway.ports.health)).status, 200, 'what is in force still serves');
  t.equal(await refusal(gateway.ports.postgres, handle), null);
  await writeFile(
    file,
    orders.policy().replaceAll('reader:', 'auditor:').replace('extends: reader', 'extends: auditor'),
  );
  gateway.kill('SIGHUP');
  await gateway.says('the policies were reloaded');
  await scrapeUntil(origin, (seen) => seen.sum('daypass_policy_reload_failed') === 0);
  t.match(await refusal(gateway.ports.postgres, handle), { code: '42501', message: /role reader/ }, 'the role is gone');
});
