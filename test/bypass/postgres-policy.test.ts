import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { gatewayToOrders, type Orders, ordersDatabase } from '../postgres/fixture.js';
import { startGateway } from '../support/gateway.js';
import { tapProxy } from '../support/tap-proxy.js';
import {
  bind,
  execute,
  fields,
  front,
  loggedIn,
  parse,
  query,
  shapes,
  sync,
  type WireClient,
} from '../support/wire.js';

const READS = '{ statements: [select], relations: [public.orders, public.order_items] }';
const NARROW = '{ statements: [select], relations: [public.orders] }';

/** The client hears why in the one FATAL that ends its connection. */
async function cutByPolicy(t: Test, client: WireClient) {
  const last = (await client.rest()).at(-1);
  t.match(last && fields(last), { S: 'FATAL', C: '57P01', M: /policy no longer allows/ });
}

async function untilRunning({ database }: Orders, pattern: string, count: number): Promise<void> {
  const running = () =>
    database.query(
      "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle' and query like $1",
      [pattern],
    );
  while ((await running()).length !== count) await pause(10);
}

t.test('B11: a COPY that is open when its role loses copy-in writes nothing', async (t) => {
  const orders = await ordersDatabase(t);
  const { database } = orders;
  await database.query(`create table inbox (n int); grant insert, select on inbox to fixer_${database.name}`);
  const copier = (statement: string) =>
    `  copier:\n    extends: order-editor\n    upstream: { user: fixer_${database.name}, password: { env: FIXER_PASSWORD } }\n    allow:\n      - { statements: [${statement}], relations: [public.inbox] }\n`;
  const policy = orders.policy({ more: copier('copy-in') });
  const gateway = await startGateway(t, { services: { 'orders-db': policy }, env: orders.env });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'copier' });
  for (const begin of [
    query('copy inbox from stdin'),
    Buffer.concat([parse('', 'copy inbox from stdin'), bind('', ''), execute(''), sync()]),
  ]) {
    const { client } = await loggedIn(t, gateway.ports.postgres, handle);
    client.send(begin);
    await client.until('G');
    client.send(front('d', Buffer.from('1\n')));
    await untilRunning(orders, 'copy inbox%', 1);
    await gateway.policy('orders-db', orders.policy({ more: copier('select') }));
    client.send(front('d', Buffer.from('2\n')), front('c'), sync());
    await cutByPolicy(t, client);
    await untilRunning(orders, 'copy inbox%', 0);
    t.same(await database.query('select * from inbox'), []);
    await gateway.policy('orders-db', policy);
  }
  await gateway.stop();
  const notices = (await gateway.events()).filter(({ facts }) => facts.about === 'policy');
  t.match(notices, [{ facts: { reason: 'out_of_scope', rule: /./ } }, { facts: { reason: 'out_of_scope' } }]);
  const ends = await gateway.ledger.query('select end_reason from daypass.sessions');
  t.same(ends, [{ end_reason: 'policy_gone' }, { end_reason: 'policy_gone' }]);
});

t.test('B11: a select that runs when its relation is taken away is cancelled', async (t) => {
  const gateway = await gatewayToOrders(t, { policy: { reader: READS } });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  const { client: bystander } = await loggedIn(t, gateway.ports.postgres, handle);
  const locker = await gateway.orders.database.client();
  await locker.query('begin; lock table orders in access exclusive mode');
  client.send(query('select pg_sleep(60) from order_items limit 1'));
  bystander.send(query('select pg_sleep(0) from orders limit 1'));
  await untilRunning(gateway.orders, 'select pg_sleep%', 2);
  await gateway.policy('orders-db', gateway.orders.policy({ reader: NARROW }));
  await cutByPolicy(t, client);
  await untilRunning(gateway.orders, '%order_items%', 0);
  await locker.query('rollback');
  t.equal(shapes(await bystander.until()), 'T D C:SELECT 1 Z:I', 'what is still allowed runs on');
  t.match(
    gateway.lines.filter(({ msg }) => msg === 'what was under way is not allowed any more'),
    [{ reason: 'out_of_scope', rule: /./ }],
    'one line, with reason and rule',
  );
});

t.test('B11: a half-sent pipeline that the policy no longer allows never reaches the database', async (t) => {
  const orders = await ordersDatabase(t);
  const proxy = await tapProxy(t, orders.database.config.host, orders.database.config.port);
  const policy = (reader: string) => orders.policy({ reader, upstream: `127.0.0.1:${proxy.port}` });
  const gateway = await startGateway(t, { services: { 'orders-db': policy(READS) }, env: orders.env });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const items = parse('', 'select count(*) from order_items');
  const sent: [string, Buffer][] = [
    ['Parse', items],
    ['Parse and Bind', Buffer.concat([items, bind('', '')])],
    ['Parse, Bind and Execute', Buffer.concat([items, bind('', ''), execute('')])],
  ];
  for (const [what, bytes] of sent) {
    const { client } = await loggedIn(t, gateway.ports.postgres, handle);
    const { client: other } = await loggedIn(t, gateway.ports.postgres, handle);
    proxy.forget();
    client.send(bytes);
    other.send(parse('', 'select count(*) from orders'), bind('', ''), execute(''));
    await pause(50);
    await gateway.policy('orders-db', policy(NARROW));
    client.send(sync());
    await cutByPolicy(t, client);
    t.notMatch(proxy.seen().toString('latin1'), /from order_items/, what);
    other.send(sync());
    t.equal(shapes(await other.until()), '1 2 D C:SELECT 1 Z:I', 'a pipeline that is still allowed goes on');
    other.socket.end();
    await once(other.socket, 'close');
    await gateway.policy('orders-db', policy(READS));
  }
});

t.test('B11: a session that could do anything for a while does not go on as a restricted one', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  await gateway.policy(
    'orders-db',
    gateway.orders
      .policy()
      .replace(/allow:\n {6}- \{ statements: \[select.*\n/, 'allow:\n      - { statements: [any] }\n'),
  );
  client.send(query('set search_path = pg_catalog'));
  t.equal(shapes(await client.until()), 'C:SET Z:I', 'names now mean something else to the server');
  await gateway.policy('orders-db', gateway.orders.policy());
  await cutByPolicy(t, client);
});

t.test('C21: a session that was begun to write ends when its role only reads: its server was not told', async (t) => {
  const orders = await ordersDatabase(t);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'order-editor' });
  const { client } = await loggedIn(t, gateway.ports.postgres, handle);
  await gateway.policy('orders-db', orders.policy().replace('statements: [update]', 'statements: [select]'));
  await cutByPolicy(t, client);
  const { client: next } = await loggedIn(t, gateway.ports.postgres, handle);
  next.send(query('show transaction_read_only'));
  t.match(Buffer.concat((await next.until()).map(({ body }) => body)).toString(), /on/);
});
