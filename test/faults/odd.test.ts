import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { linkFor, TestBrowser } from '../http/browser/fixture.js';
import { faultProxy } from '../support/fault-proxy.js';
import { startGatewayProcess } from '../support/gateway-process.js';
import { ledgerDatabase } from '../support/ledger.js';
import { type Database, type PostgresServer, startPostgres } from '../support/postgres.js';
import { redisClient, startRedis } from '../support/redis.js';
import { waitUntil } from '../support/wait.js';
import { webSocket } from './clients.js';
import { webPolicy, webService } from './services.js';

const ACT = { by: 'ops', reason: 'a test' };

async function between(t: Test, server?: PostgresServer) {
  const [ledger, redis, web] = [await ledgerDatabase(t, server), await startRedis(t), await webService(t)];
  const services = { 'orders-web': webPolicy('orders-web', web.port) };
  const seams = { ledger: await faultProxy(t, ledger.server.port), redis: await faultProxy(t, redis.port) };
  const behind = { ...ledger, url: ledger.url.replace(`:${ledger.server.port}/`, `:${seams.ledger.port}/`) };
  const redisUrl = `redis://127.0.0.1:${seams.redis.port}`;
  const settings = 'drain: 0s\nstaleness: 60s';
  const gateway = await startGatewayProcess(t, { services, ledger: behind, redisUrl, settings });
  return { ledger, redis, gateway, seams };
}

/** Ends the connection that waits for a lock, as a failover or an administrator does. */
async function endWhoWaits(ledger: Database): Promise<void> {
  const waiting = `select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
  await waitUntil('somebody waits', async () => (await ledger.query(waiting)).length > 0);
  await ledger.query(`select pg_terminate_backend(pid) from (${waiting}) as waiting`);
}

t.test('a connection that the ledger ends amid a transaction fails what it was for, and nothing else', async (t) => {
  const { ledger, gateway } = await between(t);
  const { id } = await gateway.issue({ service: 'orders-web' });
  const renew = () => gateway.operator('POST', `/v1/grants/${id}/renew`, { ...ACT, durationSeconds: 60 });
  const locker = await ledger.client();
  await locker.query('begin');
  await locker.query('select from daypass.grants where id = $1 for update', [id]);
  const [answer] = await Promise.all([renew(), endWhoWaits(ledger)]);
  t.match(answer, { status: 503, body: { error: { code: 'ledger_unavailable' } } });
  await locker.query('rollback');
  t.equal((await renew()).status, 200, 'the gateway lives, and does it when it is asked again');
});

t.test('a Redis that is no primary any more is an outage, to operators and in browsers, and it passes', async (t) => {
  const { redis, gateway } = await between(t);
  await gateway.issue({ service: 'orders-web' });
  const alice = new TestBrowser(gateway.ports.http);
  await alice.logIn(await linkFor(gateway));
  const admin = redisClient(t, redis);
  await admin.replicaof('127.0.0.1', 9);
  await gateway.says('the grant store does not answer');
  const asked = { ...ACT, principal: 'bob', service: 'orders-web', durationSeconds: 60, sponsor: 'dana' };
  t.match(await gateway.operator('POST', '/v1/grants', asked), { status: 503, body: { error: { code: /^store_/ } } });
  const page = await alice.visit('orders-web.localhost', '/n/1');
  t.equal(page.status, 503);
  t.match(page.body, /try again in a moment/i);
  t.notMatch(page.body, /no access/);
  await admin.replicaof('NO', 'ONE');
  await waitUntil('the page is there again', async () => {
    return (await alice.visit('orders-web.localhost', '/n/1')).status === 200;
  });
});

t.test('of grants that Redis forgot nobody says that they were revoked, and a renewal brings them back', async (t) => {
  const { redis, gateway, ledger } = await between(t);
  const grant = { ...(await gateway.issue({ service: 'orders-web' })), service: 'orders-web', revokedAt: null };
  const client = await webSocket(t, gateway, grant, '/ticks');
  const admin = redisClient(t, redis);
  await admin.flushall();
  await admin.client('KILL', 'TYPE', 'pubsub'); // as when it is started again: whoever listens asks anew
  t.match((await client.ended).told, { code: '4001', message: /known no more/ });
  const ends = "select 1 from daypass.sessions where end_reason = 'unknown_grant'";
  await waitUntil('the receipt says so, too', async () => (await ledger.query(ends)).length === 1);
  t.equal(
    (await gateway.operator('POST', `/v1/grants/${grant.id}/renew`, { ...ACT, durationSeconds: 60 })).status,
    200,
  );
  await webSocket(t, gateway, grant, '/ticks');
});

t.test('a revocation that the disk has no room for spoils none that it has room for again', async (t) => {
  const server = await startPostgres(t);
  const { ledger, gateway } = await between(t, server);
  const grants = [];
  for (let i = 0; i < 3; i += 1) grants.push(await gateway.issue({ service: 'orders-web' }));
  const revoked = (id = '') => gateway.operator('POST', `/v1/grants/${id}/revoke`, ACT);
  await server.crash();
  t.match(await revoked(grants[0]?.id), { status: 202, body: { ledger: 'queued' } });
  const { size } = statSync(join(gateway.dataDirectory, 'pending-revocations'));
  const room = (bytes: number | string) => execFileSync('prlimit', ['--pid', `${gateway.pid}`, `--fsize=${bytes}:`]);
  room(size + 40); // of a line that takes more
  t.match(await revoked(grants[1]?.id), { status: 500, body: { error: { code: 'queue_failed' } } });
  room('unlimited');
  t.match(await revoked(grants[2]?.id), { status: 202, body: { ledger: 'queued' } });
  gateway.kill('SIGKILL');
  await gateway.ended();
  await server.restart();
  await gateway.restart();
  const all = 'select 1 from daypass.grants where revoked_at is not null';
  await waitUntil('the ledger has all of them', async () => (await ledger.query(all)).length === 3);
});

t.test(
  'what the ledger says of a grant is enough, where it is too slow to be asked again and Redis is gone',
  async (t) => {
    const { ledger, gateway, seams } = await between(t);
    const open = async () => {
      const grant = { ...(await gateway.issue({ service: 'orders-web' })), service: 'orders-web', revokedAt: null };
      return { id: grant.id, client: await webSocket(t, gateway, grant, '/ticks') };
    };
    const [here, elsewhere, suspended] = [await open(), await open(), await open()];
    await seams.redis.set({ kind: 'refuse' });
    await seams.ledger.set({ kind: 'slow', latency: 280 }); // 560 ms for an answer: a check of a grant does not wait so long
    await gateway.operator('POST', `/v1/grants/${here.id}/revoke`, ACT);
    t.match((await here.client.ended).told, { code: '4001', message: /the grant was revoked/ });
    await ledger.query('update daypass.grants set revoked_at = now() where id = $1', [elsewhere.id]);
    await ledger.query('update daypass.grants set suspended_at = now() where id = $1', [suspended.id]);
    t.match((await elsewhere.client.ended).told, { code: '4001', message: /the grant was revoked/ });
    t.match((await suspended.client.ended).told, { code: '4001', message: /the grant was suspended/ });
  },
);
