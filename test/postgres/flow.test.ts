import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { collect } from '../support/collect.js';
import { throughGateway } from '../support/gateway.js';
import { startPostgres } from '../support/postgres.js';
import { starvation } from '../support/starvation.js';
import { waitUntil } from '../support/wait.js';
import { bind, cstring, execute, front, loggedIn, parse, query, shapes, start, sync } from '../support/wire.js';
import { gatewayToOrders } from './fixture.js';

/** Two hundred megabytes, in rows of a kilobyte. */
const HUGE = "select repeat('x', 1000) from generate_series(1, 200000)";
const MOST = 60 * 2 ** 20;
/** ReadyForQuery without its status. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5]);

function memory(): number {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

/** What is held besides what there was before: only where that is too much, it is worth a collection of the garbage. */
function grown(before: number, limit = MOST): number {
  if (memory() - before >= limit) collect();
  return memory() - before;
}

/** Logs in, and reads nothing from then on. */
async function deaf(port: number, handle: string) {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(start({ user: 'alice', database: 'orders-db' }));
  await once(socket, 'data');
  socket.write(front('p', cstring(handle)));
  await once(socket, 'data');
  socket.pause();
  return socket;
}

t.test(
  'a client that stops reading a huge result does not fill the memory; the end of its grant ends it all the same',
  async (t) => {
    const gateway = await gatewayToOrders(t);
    const { handle, id } = await gateway.issue({ service: 'orders-db' });
    const socket = await deaf(gateway.ports.postgres, handle);
    t.teardown(() => socket.destroy());
    const before = memory();
    socket.write(query(HUGE));
    let most = 0;
    for (let i = 0; i < 20; i += 1) {
      await pause(50);
      most = Math.max(most, grown(before));
    }
    t.ok(most < MOST, `${Math.round(most / 2 ** 20)} MiB`);
    await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: 'over', by: 'ops' });
    const active = () =>
      gateway.orders.database.query(
        "select 1 from pg_stat_activity where datname = current_database() and query like '%repeat%' and pid <> pg_backend_pid()",
      );
    await waitUntil('it is gone at the database', async () => (await active()).length === 0);
    // The client never reads: its socket is destroyed when the farewell does not flush.
    while (((await gateway.operator('GET', '/v1/status')).body.liveSessions as number) > 0) await pause(10);
    await gateway.stop();
    const [session] = await gateway.ledger.query('select end_reason, bytes_after_due from daypass.sessions');
    t.match(session, { end_reason: 'revoked', bytes_after_due: '0' });
  },
);

t.test('a client that reads a huge result gets all of it, in bounded memory', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  client.socket.removeAllListeners('data');
  const before = memory();
  let most = 0;
  let bytes = 0;
  let tail = Buffer.alloc(0);
  client.send(query(HUGE));
  await new Promise<void>((resolve) => {
    client.socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes % 64 === 0) most = Math.max(most, grown(before, 2 * MOST));
      tail = Buffer.concat([tail, chunk.subarray(-6)]).subarray(-6);
      if (tail.subarray(0, 5).equals(READY)) resolve();
    });
  });
  t.ok(bytes > 200_000 * 1_000);
  t.ok(most < 2 * MOST, `${Math.round(most / 2 ** 20)} MiB`);
});

t.test('a client that sends without reading is read no faster than it is answered', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const socket = await deaf(gateway.ports.postgres, handle);
  t.teardown(() => socket.destroy());
  const before = memory();
  const round = Buffer.concat(
    Array.from({ length: 200 }, () =>
      Buffer.concat([parse('', "select repeat('y', 2000)"), bind('', ''), execute(''), sync()]),
    ),
  );
  let sent = 0;
  let most = 0;
  for (let i = 0; i < 400; i += 1) {
    sent += round.length;
    if (!socket.write(round)) {
      const drained = await Promise.race([once(socket, 'drain').then(() => true), pause(1_000).then(() => false)]);
      most = Math.max(most, grown(before));
      if (!drained) break;
    }
  }
  t.ok(most < MOST, `${Math.round(most / 2 ** 20)} MiB after ${Math.round(sent / 2 ** 20)} MiB`);
});

t.test(
  'while the database takes nothing in, a client that copies into it is held; the end cuts both, and it is told although it reads only when all is sent',
  async (t) => {
    const server = await startPostgres(t);
    const { startGateway } = await import('../support/gateway.js');
    const { ordersDatabase } = await import('./fixture.js');
    const orders = await ordersDatabase(t, server);
    const { database } = orders;
    await database.query(`create table inbox (n text); grant insert, select on inbox to fixer_${database.name}`);
    const more = `  copier:\n    extends: order-editor\n    upstream: { user: fixer_${database.name}, password: { env: FIXER_PASSWORD } }\n    allow:\n      - { statements: [copy-in], relations: [public.inbox] }\n`;
    const gateway = await startGateway(t, { services: { 'orders-db': orders.policy({ more }) }, env: orders.env });
    const { handle, id } = await gateway.issue({ service: 'orders-db', role: 'copier' });
    const { client } = await loggedIn(t, gateway.ports.postgres, handle);
    client.send(query('copy inbox from stdin'));
    t.equal((await client.message()).type, 'G');
    await server.pause();
    const before = memory();
    const piece = front('d', Buffer.alloc(256 * 1024, 'z\n'));
    let most = 0;
    let held = false;
    for (let i = 0; i < 800 && !held; i += 1) {
      if (client.socket.write(piece)) continue;
      held = !(await Promise.race([once(client.socket, 'drain').then(() => true), pause(500).then(() => false)]));
      most = Math.max(most, grown(before));
    }
    t.ok(held, 'the client is not read any further');
    t.ok(most < MOST, `${Math.round(most / 2 ** 20)} MiB`);
    const failures: Error[] = [];
    client.socket.on('error', (error) => failures.push(error)).pause();
    const rid = once(client.socket, 'drain');
    await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: 'over', by: 'ops' });
    await rid;
    client.socket.resume();
    t.match(shapes(await client.rest()), /57P01/);
    await client.closed;
    t.same(failures, []);
    await server.resume();
    t.same(await database.query('select count(*)::int as n from inbox'), [{ n: 0 }]);
  },
);

t.test('a ledger that is stopped in its tracks lets nothing through, and what waited is cut (24)', async (t) => {
  const ledgerServer = await startPostgres(t);
  const { startGateway } = await import('../support/gateway.js');
  const { ordersDatabase } = await import('./fixture.js');
  const { tapProxy } = await import('../support/tap-proxy.js');
  const orders = await ordersDatabase(t);
  const proxy = await tapProxy(t, orders.database.config.host, orders.database.config.port);
  const policy = orders.policy({ upstream: `127.0.0.1:${proxy.port}` });
  const gateway = await startGateway(t, { services: { 'orders-db': policy }, env: orders.env, ledgerServer });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query('select 1');
  await pause(100);
  await ledgerServer.pause();
  proxy.forget();
  const over = new Promise((resolve) => client.once('end', resolve));
  client.query('select count(*) from orders').catch(() => {});
  await over;
  t.notMatch(proxy.seen().toString('latin1'), /count/);
  const starved = starvation();
  const began = Date.now();
  await t.rejects(throughGateway(t, gateway.ports.postgres, handle), { code: '57P03' }, 'nobody is let in meanwhile');
  t.ok(Date.now() - began < 2_000 + starved());
  await ledgerServer.resume();
  await gateway.stop();
  const texts = (await gateway.events()).map(({ payload }) => payload?.text);
  t.ok(texts.includes('select count(*) from orders'), 'the attempt is in the record');
});
