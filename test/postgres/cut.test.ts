import type { EventEmitter } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import Cursor from 'pg-cursor';
import t, { type Test } from 'tap';
import { command, startPsql } from '../support/commands.js';
import { type TestGateway, throughGateway } from '../support/gateway.js';
import type { Database } from '../support/postgres.js';
import { starvation } from '../support/starvation.js';
import { tapProxy } from '../support/tap-proxy.js';
import { waitUntil } from '../support/wait.js';
import { loggedIn, query } from '../support/wire.js';
import { gatewayToOrders, ordersDatabase } from './fixture.js';

/** THREATS.md, "Promises": not early at all, and at the most 250 ms late. */
const LATEST = 250;
/** What a look at what the server runs may take, milliseconds. */
const LOOK = 100;

interface Fatal {
  readonly code: string;
  readonly message: string;
  readonly at: number;
}

/**
 * What the receipts say: the gateway's own lateness.
 * @param starved - how long it had no core meanwhile, milliseconds
 */
async function inTime(t: Test, ledger: Database, starved: number): Promise<void> {
  const receipts = await ledger.query<{ late: number; bytes_after_due: string }>(
    `select extract(epoch from cut_at - due_at)::float8 * 1000 as late, bytes_after_due from daypass.sessions
     where end_reason = 'expired' order by started_at desc limit 1`,
  );
  t.ok(receipts.length > 0, 'there is a receipt');
  for (const { late, bytes_after_due } of receipts) {
    t.ok(late >= 0 && late <= LATEST + starved, `the receipt says ${late} ms late`);
    t.equal(bytes_after_due, '0');
  }
}

/** The FATAL a client is sent, and when: read off the connection, since a running query would swallow it. */
function fatal(client: pg.Client): Promise<Fatal> {
  const { connection } = client as unknown as { connection: EventEmitter };
  return new Promise((resolve) => {
    connection.on('errorMessage', (error: Error & { code?: string }) => {
      if (error.code === '57P01') resolve({ code: error.code, message: error.message, at: Date.now() });
    });
  });
}

/** When a client's connection ended. */
function ended(client: pg.Client): Promise<number> {
  return new Promise((resolve) => client.once('end', () => resolve(Date.now())));
}

/** The server's processes that run statements like this one. */
async function running(database: Database, pattern: string): Promise<number[]> {
  const rows = await database.query<{ pid: number }>(
    `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle' and query like $1`,
    [pattern],
  );
  return rows.map(({ pid }) => pid);
}

/** Resolves when a statement like this one runs. The answer counts how long gateway and server have no core from then on. */
async function untilRunning(database: Database, pattern: string): Promise<() => number> {
  await waitUntil(`${pattern} runs`, async () => (await running(database, pattern)).length > 0);
  return starvation(process.pid, database.server.pid, ...(await running(database, pattern)));
}

/** It is gone at the database, 250 ms after the cut at the latest. @param starved - how long those who end it had no core */
async function goneInTime(t: Test, database: Database, pattern: string, cutAt: number, starved: () => number) {
  await waitUntil(`${pattern} is gone`, async () => (await running(database, pattern)).length === 0, { seconds: 20 });
  const after = Date.now() - cutAt;
  t.ok(after <= LATEST + LOOK + starved(), `gone ${after} ms after the cut`);
}

/** A client whose grant ends soon, though not before it has been let in: a busy machine needs more time for that. */
async function endingSoon(t: Test, gateway: TestGateway, role = 'reader', seconds = 3) {
  const { handle, expiresAt, id } = await gateway.issue({ service: 'orders-db', role, for: `${seconds}s` });
  const due = Date.parse(expiresAt);
  const client = await throughGateway(t, gateway.ports.postgres, handle).catch(() => null);
  if (client !== null && due - Date.now() > 1_500) return { client, due, id };
  t.comment(`not let in in good time of ${seconds} s`);
  await client?.end().catch(() => {});
  return endingSoon(t, gateway, role, seconds * 2);
}

t.test('the connection and the running query end when the grant expires: not early, not late', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { client, due, id } = await endingSoon(t, gateway);
  const cut = fatal(client);
  client.query('select pg_sleep(30)').catch(() => {});
  const starved = await untilRunning(gateway.orders.database, '%pg_sleep(30)%');
  const told = await cut;
  t.equal(told.code, '57P01');
  t.match(told.message, /the grant has expired/);
  t.match(told.message, id, 'names the grant');
  t.ok(told.at >= due, `not early (${told.at - due} ms)`);
  t.ok(told.at <= due + LATEST + starved(), `not late (${told.at - due} ms)`);
  await goneInTime(t, gateway.orders.database, '%pg_sleep(30)%', told.at, starved);
  await gateway.stop();
  const [session] = await gateway.ledger.query('select * from daypass.sessions where grant_id = $1', [id]);
  t.match(session, { end_reason: 'expired', bytes_after_due: '0' });
  t.ok(session?.cut_at >= session?.due_at);
  await inTime(t, gateway.ledger, starved());
  const last = (await gateway.events()).slice(-2);
  t.match(last, [{ kind: 'result', facts: { status: 'interrupted', rows: 0 } }, { kind: 'close' }]);
});

t.test('a session opened one second before the end of its grant ends after one second', async (t) => {
  const gateway = await gatewayToOrders(t);
  /** One second before, or as many as this machine needs to be let in. */
  const late = async (before = 1_000): Promise<{ client: pg.Client; due: number }> => {
    const { handle, expiresAt } = await gateway.issue({ service: 'orders-db', for: `${3 + before / 1_000}s` });
    const due = Date.parse(expiresAt);
    await pause(due - before - Date.now());
    const client = await throughGateway(t, gateway.ports.postgres, handle).catch(() => null);
    const isIn = await client?.query('select 1').catch(() => null);
    return client && isIn && Date.now() < due - 100 ? { client, due } : late(before * 2);
  };
  const { client, due } = await late();
  const starved = starvation();
  const at = await ended(client);
  t.ok(at >= due && at <= due + LATEST + starved(), `${at - due} ms after the end`);
  await gateway.stop();
  await inTime(t, gateway.ledger, starved());
});

t.test('an interrupted UPDATE leaves no change', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { client } = await endingSoon(t, gateway, 'order-editor');
  const cut = fatal(client);
  const update = client.query("update orders set status = 'touched' where id <= 3 and pg_sleep(20) is not null");
  const rejected = t.rejects(update, { code: '57P01', message: /the grant has expired/ });
  const starved = await untilRunning(gateway.orders.database, 'update%touched%');
  await rejected;
  const { code, at } = await cut;
  t.equal(code, '57P01');
  await goneInTime(t, gateway.orders.database, '%touched%', at, starved);
  t.same(await gateway.orders.database.query("select * from orders where status = 'touched'"), []);
});

t.test('a revocation cuts a streaming cursor, an idle session and a half-sent pipeline', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle, id } = await gateway.issue({ service: 'orders-db' });
  const port = gateway.ports.postgres;
  const streaming = await throughGateway(t, port, handle);
  const cursor = streaming.query(new Cursor('select a.id from orders a, orders b'));
  await cursor.read(100);
  const idle = await throughGateway(t, port, handle);
  const pipelining = await throughGateway(t, port, handle);
  const stream = (
    pipelining as unknown as { connection: { parse(q: object): void; bind(q: object): void; flush(): void } }
  ).connection;
  stream.parse({ text: 'select 1' });
  stream.bind({});
  const ends = [streaming, idle, pipelining].map(ended);
  const fatals = [idle, pipelining].map(fatal);
  const starved = await untilRunning(gateway.orders.database, '%orders a, orders b%');
  const revoked = Date.now();
  await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: 'the task is done', by: 'ops' });
  const endedAt = await Promise.all(ends);
  for (const at of endedAt) t.ok(at - revoked <= 1_000 + starved(), `${at - revoked} ms`);
  for (const { message } of await Promise.all(fatals)) t.match(message, /the grant was revoked/);
  await goneInTime(t, gateway.orders.database, '%orders a, orders b%', Math.max(...endedAt), starved);
  await t.rejects(throughGateway(t, port, handle), { code: '28P01' });
});

t.test('a renewal moves the deadline of an open connection without dropping it', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { client, due: first, id } = await endingSoon(t, gateway, 'reader', 4);
  const sleeping = client.query(`select pg_sleep(${(first + 500 - Date.now()) / 1_000})`);
  const renewed = await gateway.operator('POST', `/v1/grants/${id}/renew`, {
    durationSeconds: 4,
    reason: 'a little longer',
    by: 'ops',
  });
  t.equal(renewed.status, 200);
  t.equal(Date.parse(String(renewed.body.expiresAt)), first + 4_000, 'exp = old exp + for');
  await sleeping;
  const starved = starvation();
  t.ok(Date.now() > first, 'alive after the first end');
  const at = await ended(client);
  t.ok(
    at >= first + 4_000 && at <= first + 4_000 + LATEST + starved(),
    `${at - first - 4_000} ms after the second end`,
  );
  await gateway.stop();
  await inTime(t, gateway.ledger, starved());
});

t.test(
  'a prepared statement executed after the role was narrowed is refused; a session whose role is gone is cut',
  async (t) => {
    const gateway = await gatewayToOrders(t);
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    const read = { name: 'items', text: 'select count(*)::int as n from order_items' };
    t.equal((await client.query(read)).rows[0].n, 1000);
    await client.query('begin');
    const cursor = client.query(new Cursor('select sku from order_items'));
    t.equal((await cursor.read(5)).length, 5);
    await gateway.policy(
      'orders-db',
      gateway.orders.policy({ reader: '{ statements: [select], relations: [public.orders] }' }),
    );
    await t.rejects(cursor.read(5), { code: '42501' }, 'the next rows of an open cursor');
    await client.query('rollback');
    await t.rejects(client.query(read), { code: '42501' }, 'the old prepared statement');
    t.equal((await client.query('select count(*)::int as n from orders')).rows[0].n, 1000);
    const told = fatal(client);
    await gateway.policy(
      'orders-db',
      gateway.orders.policy().replace('  reader:\n', '  looker:\n').replace('extends: reader', 'extends: looker'),
    );
    t.match((await told).message, /policy no longer allows/);
  },
);

t.test(
  'while the ledger cannot commit, the upstream sees no byte; after 5 s the session is cut and nothing was lost',
  async (t) => {
    const orders = await ordersDatabase(t);
    const proxy = await tapProxy(t, orders.database.config.host, orders.database.config.port);
    const { startGateway } = await import('../support/gateway.js');
    const policy = orders.policy({ upstream: `127.0.0.1:${proxy.port}` });
    const gateway = await startGateway(t, { services: { 'orders-db': policy }, env: orders.env });
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    await client.query('select 1');
    // The gateway's own questions at its start and at a login (rights, catalog) have connections of their own.
    await waitUntil('only the connection of the session is left', () => proxy.open.size === 1);
    const blocker = await gateway.ledger.client();
    await blocker.query('begin; lock table daypass.blocks in access exclusive mode');
    proxy.forget();
    const told = fatal(client);
    const starved = starvation();
    const asked = Date.now();
    client.query('select count(*) from orders').catch(() => {});
    await pause(1_000);
    t.equal(proxy.seen().length, 0, 'nothing is forwarded unrecorded');
    const { message, at } = await told;
    t.match(message, /could not be recorded in time/);
    t.ok(at - asked >= 5_000 && at - asked < 6_000 + starved(), `${at - asked} ms`);
    t.notMatch(proxy.seen().toString('latin1'), /count/, 'not even then');
    await blocker.query('rollback');
    await gateway.stop();
    const texts = (await gateway.events()).map((event) => event.payload?.text);
    t.ok(texts.includes('select count(*) from orders'), 'the attempt is in the record');
  },
);

t.test('psql shows why it was cut', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db', for: '4s' });
  const target = `host=127.0.0.1 port=${gateway.ports.postgres} dbname=orders-db user=alice`;
  const psql = startPsql(target, ['-c', 'select pg_sleep(20)'], { env: { PGPASSWORD: handle } });
  const { stderr, code } = await psql.finished;
  t.match(stderr, /FATAL: {2}(57P01: )?Daypass ended this session: the grant has expired at .* \(grant /);
  t.match(stderr, /HINT: {2}ask your sponsor/);
  t.equal(code, 2);
});

t.test('a client whose rows are streaming hears why it is cut', async (t) => {
  const gateway = await gatewayToOrders(t);
  const rows = "select n, repeat('x', n % 90) from generate_series(1, 100000000) n";
  const raw = await gateway.issue({ service: 'orders-db', for: '3s' });
  const { client } = await loggedIn(t, gateway.ports.postgres, raw.handle);
  client.socket.removeAllListeners('data');
  let last = Buffer.alloc(0);
  client.socket.on('data', (chunk: Buffer) => {
    last = Buffer.concat([last, chunk]).subarray(-1_000);
  });
  client.send(query(`copy (${rows}) to stdout`));
  await client.closed;
  t.match(last.toString('latin1'), /SFATAL\0.*C57P01\0.*the grant has expired/s);
  const { handle } = await gateway.issue({ service: 'orders-db', for: '3s' });
  const target = `host=127.0.0.1 port=${gateway.ports.postgres} dbname=orders-db user=alice`;
  const script = `set -o pipefail; psql "${target}" -X -c "\\copy (${rows}) to stdout" > /dev/null`;
  const { stderr } = await command('bash', ['-c', script], { env: { PGPASSWORD: handle } });
  t.match(stderr, /FATAL: {2}(57P01: )?Daypass ended this session: the grant has expired/);
});
