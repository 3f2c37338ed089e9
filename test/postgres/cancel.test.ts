import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { CancelKeys } from '../../src/postgres/cancel.js';
import { startPsql } from '../support/commands.js';
import { faultProxy } from '../support/fault-proxy.js';
import { startGateway } from '../support/gateway.js';
import { tapProxy } from '../support/tap-proxy.js';
import { fields, int32, loggedIn, packet, query, shapes, type WireMessage, wire } from '../support/wire.js';
import { gatewayToOrders, ordersDatabase } from './fixture.js';

const keyOf = (hello: readonly WireMessage[]) => {
  const body = hello.find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8);
  return { pid: body.readInt32BE(0), secret: body.subarray(4) };
};
/** What stands behind the process number in the first BackendKeyData of these bytes. */
const serverSecret = (bytes: Buffer) => {
  const at = bytes.indexOf(Buffer.of(0x4b, 0, 0, 0)); // 'K', and a length below 256
  return bytes.subarray(at + 9, at + 1 + bytes.readInt32BE(at + 1));
};
const cancelRequest = (pid: number, secret: Uint8Array) => packet(80877102, int32(pid), secret);

async function sleeper(t: Test) {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client, hello } = await loggedIn(t, gateway.ports.postgres, handle);
  const key = keyOf(hello);
  const running = async () =>
    (
      await gateway.orders.database.query(
        `select 1 from pg_stat_activity where datname = current_database() and query like '%pg_sleep%' and state = 'active' and pid <> pg_backend_pid()`,
      )
    ).length;
  const sleep = async () => {
    client.send(query('select pg_sleep(20)'));
    while ((await running()) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  const cancel = async (pid: number, secret: Uint8Array) => {
    const canceller = await wire(t, gateway.ports.postgres);
    canceller.send(cancelRequest(pid, secret));
    await canceller.closed;
    await t.rejects(canceller.bytes(1), 'a cancel request is never answered');
  };
  return { ...gateway, client, key, running, sleep, cancel, handle };
}

/** A gateway with something between it and its database. */
async function behind<Proxy extends { readonly port: number }>(
  t: Test,
  start: (host: string, port: number) => Promise<Proxy>,
) {
  const orders = await ordersDatabase(t);
  const { host, port } = orders.database.config;
  const proxy = await start(host, port);
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy({ upstream: `127.0.0.1:${proxy.port}` }) },
    env: orders.env,
  });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  return { proxy, join: () => loggedIn(t, gateway.ports.postgres, handle), port: gateway.ports.postgres };
}

t.test('the key the client was given cancels its statement, and the connection goes on', async (t) => {
  const { client, key, sleep, cancel } = await sleeper(t);
  await sleep();
  await cancel(key.pid, key.secret);
  t.equal(shapes(await client.until()), 'T E:57014 Z:I');
  client.send(query('select 1'));
  t.equal(shapes(await client.until()), 'T D C:SELECT 1 Z:I');
});

t.test('a wrong secret, a wrong length and a wrong process number cancel nothing', async (t) => {
  const { key, sleep, cancel, running } = await sleeper(t);
  await sleep();
  const flipped = Buffer.from(key.secret);
  flipped[0] = (flipped[0] ?? 0) ^ 1;
  for (const secret of [
    flipped,
    key.secret.subarray(0, 3),
    Buffer.concat([key.secret, Buffer.of(0)]),
    Buffer.alloc(0),
    Buffer.alloc(256),
  ])
    await cancel(key.pid, secret);
  await cancel(key.pid ^ 1, key.secret);
  t.equal(await running(), 1);
});

t.test(
  'the connection of a cancel request ends when the server has been told: the next statement is not hit',
  async (t) => {
    const { proxy, join, port } = await behind(t, (host, to) => tapProxy(t, host, to));
    const { client, hello } = await join();
    const key = keyOf(hello);
    for (let times = 0; times < 8; times += 1) {
      proxy.forget();
      const canceller = await wire(t, port);
      canceller.send(cancelRequest(key.pid, key.secret));
      await canceller.closed;
      t.ok(proxy.seen().includes(int32(80877102)), 'the server was told');
      client.send(query('select pg_sleep(0.02)'));
      t.equal(shapes(await client.until()), 'T D C:SELECT 1 Z:I');
    }
  },
);

t.test('a cancel that a slow server has not acted on is not over: it would hit the next statement', async (t) => {
  const { proxy, join, port } = await behind(t, (host, to) => faultProxy(t, to, host));
  const { client, hello } = await join();
  const { pid, secret } = keyOf(hello);
  client.send(query('select pg_sleep(20)'));
  while (!proxy.seen().includes('pg_sleep')) await pause(10);
  await proxy.set({ kind: 'stop' });
  const canceller = await wire(t, port);
  canceller.send(cancelRequest(pid, secret));
  const first = await Promise.race([canceller.closed.then(() => 'over'), pause(2_500).then(() => 'held')]);
  t.equal(first, 'held');
  await proxy.heal();
  await canceller.closed;
  client.send(query('select pg_sleep(0.02)'));
  t.equal(shapes(await client.until('Z', 2)), 'T E:57014 Z:I T D C:SELECT 1 Z:I');
});

t.test(
  'a silent server is told once of each session that ends, however often it would be told otherwise',
  async (t) => {
    const { proxy, join } = await behind(t, (host, to) => faultProxy(t, to, host));
    const sessions = await Promise.all(Array.from({ length: 5 }, join));
    for (const { client } of sessions) client.send(query('select pg_sleep(20)'));
    while (proxy.seen().toString('latin1').split('pg_sleep').length < 6) await pause(10);
    await proxy.set({ kind: 'stop' });
    const before = proxy.open();
    for (const { client } of sessions) client.socket.destroy();
    await pause(1_000);
    t.equal(proxy.open() - before, 5);
    await proxy.heal();
  },
);

t.test('a cancel that came before the server had begun to read its statement is not lost', async (t) => {
  const { proxy, join, port } = await behind(t, (host, to) => tapProxy(t, host, to));
  const { client, hello } = await join();
  const { pid, secret } = keyOf(hello);
  process.kill(pid, 'SIGSTOP'); // the server's own process: what it is sent waits
  t.teardown(() => process.kill(pid, 'SIGCONT'));
  proxy.forget();
  client.send(query('select pg_sleep(3)'));
  while (!proxy.seen().includes('pg_sleep')) await pause(5);
  const canceller = await wire(t, port);
  canceller.send(cancelRequest(pid, secret));
  while (!proxy.seen().includes(int32(80877102))) await pause(5);
  await pause(30); // it has its signal by now, and drops it when it wakes: it waits for a command
  process.kill(pid, 'SIGCONT');
  t.equal(shapes(await client.until()), 'T E:57014 Z:I');
  await canceller.closed;
  client.send(query('select pg_sleep(0.02)'));
  t.equal(shapes(await client.until()), 'T D C:SELECT 1 Z:I');
});

t.test('a function that catches its cancel request is left to tidy up', async (t) => {
  const more = '  owner:\n    allow:\n      - { statements: [any] }';
  const gateway = await gatewayToOrders(t, { policy: { more } });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'owner' });
  const { client, hello } = await loggedIn(t, gateway.ports.postgres, handle);
  const { pid, secret } = keyOf(hello);
  client.send(
    query(`do $$ begin perform pg_sleep(20); exception when query_canceled then perform pg_sleep(0.7); end $$`),
  );
  await pause(1_200); // the server has long begun
  const canceller = await wire(t, gateway.ports.postgres);
  canceller.send(cancelRequest(pid, secret));
  t.equal(shapes(await client.until()), 'C:DO Z:I');
});

t.test('psql passes Ctrl-C on', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const target = `host=127.0.0.1 port=${gateway.ports.postgres} dbname=orders-db user=alice`;
  const psql = startPsql(target, ['-c', 'select pg_sleep(20)'], { env: { PGPASSWORD: handle } });
  while (
    (
      await gateway.orders.database.query(
        `select 1 from pg_stat_activity where datname = current_database() and state = 'active' and query like '%pg_sleep(20)%' and pid <> pg_backend_pid()`,
      )
    ).length === 0
  ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  psql.process.kill('SIGINT');
  const { stderr } = await psql.finished;
  t.match(stderr, /canceling statement due to user request/);
});

t.test('a key is worth nothing once its session has ended', async (t) => {
  const { client, key, cancel, handle, ports, running } = await sleeper(t);
  client.socket.end();
  await client.closed;
  const { client: next } = await loggedIn(t, ports.postgres, handle);
  next.send(query('select pg_sleep(20)'));
  while ((await running()) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await cancel(key.pid, key.secret);
  t.equal(await running(), 1);
});

t.test('the key of the server is never seen by the client, nor that of the client by the server (C22)', async (t) => {
  const orders = await ordersDatabase(t);
  const proxy = await tapProxy(t, orders.database.config.host, orders.database.config.port);
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy({ upstream: `127.0.0.1:${proxy.port}` }) },
    env: orders.env,
  });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client, hello } = await loggedIn(t, gateway.ports.postgres, handle);
  const { pid, secret } = keyOf(hello);
  t.equal(hello.filter(({ type }) => type === 'K').length, 1);
  client.send(query('select pg_backend_pid()'));
  const row = (await client.until()).find(({ type }) => type === 'D');
  t.equal(Number(row?.body.toString('latin1', 6)), pid, 'the process number is true');
  t.not(
    secret.toString('hex'),
    serverSecret(proxy.answered()).toString('hex'),
    'the secret is not the one of the server',
  );
  const canceller = await wire(t, gateway.ports.postgres);
  canceller.send(cancelRequest(pid, secret));
  await canceller.closed;
  t.notOk(proxy.seen().includes(secret.length === 0 ? Buffer.of(1) : Buffer.concat([int32(pid), secret])));
});

t.test('guessing is limited for each session, each second; a right key is not counted', async (t) => {
  const keys = new CancelKeys();
  let cancelled = 0;
  const count = async () => {
    cancelled += 1;
  };
  const key = keys.issue(count, 42);
  const { pid, secret } = key;
  keys.issue(async () => void t.fail('of another session'), pid);
  for (let i = 0; i < 50; i += 1) keys.use(pid, secret, 1_000 + i);
  t.equal(cancelled, 50);
  for (let i = 0; i < 9; i += 1) keys.use(pid, Buffer.alloc(4), 2_000 + i);
  t.ok(keys.use(pid, secret, 2_100));
  keys.use(pid, Buffer.alloc(4), 2_200);
  t.notOk(keys.use(pid, secret, 2_999), 'guesses use the second up');
  t.ok(keys.use(pid, secret, 3_000));
  keys.withdraw(key);
  t.notOk(keys.use(pid, secret, 5_000));
});

t.test('a program whose statements time out quickly has each of them cancelled', async (t) => {
  const { client, key, sleep, cancel } = await sleeper(t);
  for (let times = 0; times < 25; times += 1) {
    await sleep();
    await cancel(key.pid, key.secret);
    t.equal(shapes(await client.until()), 'T E:57014 Z:I');
  }
});

t.test('C22: who guesses at a process number that everybody sees takes the right key from nobody else', (t) => {
  const keys = new CancelKeys();
  const { pid, secret } = keys.issue(async () => {}, 42);
  for (let i = 0; i < 50; i += 1) keys.use(pid, Buffer.alloc(4), 1_000, '192.0.2.1');
  t.notOk(keys.use(pid, secret, 1_000, '192.0.2.1'));
  t.ok(keys.use(pid, secret, 1_000, '192.0.2.2'));
  for (let i = 0; i < 50; i += 1) keys.use(pid, Buffer.alloc(4), 2_000, `198.51.100.${i}`);
  t.notOk(keys.use(pid, secret, 2_000, '192.0.2.2'), 'guesses of many are limited together');
  for (let i = 0; i < 50; i += 1) keys.use(pid, Buffer.alloc(4), 3_000, `2001:db8:0:1::${i}`);
  t.ok(keys.use(pid, secret, 3_000, '192.0.2.2'), 'and who has one address of a /64 has them all');
  t.end();
});

t.test('servers of several services give out the same process number: each key cancels its own session', (t) => {
  const keys = new CancelKeys();
  const cancelled: string[] = [];
  const one = keys.issue(async () => void cancelled.push('one'), 42);
  const other = keys.issue(async () => void cancelled.push('other'), 42);
  t.ok(keys.use(42, other.secret, 0));
  keys.withdraw(other);
  t.notOk(keys.use(42, other.secret, 0));
  t.ok(keys.use(42, one.secret, 0));
  t.same(cancelled, ['other', 'one']);
  t.end();
});

t.test('each of several processes on one port knows its own keys', async (t) => {
  const processes = [0, 1, 63].map((index) => new CancelKeys({ index, places: 64 }));
  const issued = processes.map((keys) => Array.from({ length: 500 }, () => keys.issue(async () => {}, 42, 32)));
  for (const [i, keys] of processes.entries()) {
    for (const [j, others] of issued.entries())
      t.ok(others.every(({ secret }) => keys.placeOf(secret) === (i === j ? null : [0, 1, 63][j])));
  }
  t.equal(new CancelKeys().placeOf(Buffer.of(7)), null, 'a process that is alone passes nothing on');
});

t.test('a cancel request that is cut short or too long is dropped without a word', async (t) => {
  const { port } = await gatewayToOrders(t).then(({ ports }) => ({ port: ports.postgres }));
  for (const bytes of [packet(80877102), packet(80877102, Buffer.alloc(3)), packet(80877102, Buffer.alloc(9_000))]) {
    const client = await wire(t, port);
    client.send(bytes);
    await client.closed;
    await t.rejects(client.bytes(1));
  }
  const long = await wire(t, port);
  long.send(packet(80877102, Buffer.alloc(10_000)).subarray(0, 20));
  const [error] = await long.rest();
  t.match(error && fields(error), { C: '08P01' });
});
