import t from 'tap';
import { pgbench, command as run } from '../support/commands.js';
import { throughGateway } from '../support/gateway.js';
import { gatewayToOrders } from './fixture.js';

t.test('psql reads what the role allows, through the gateway', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const env = { PGPASSWORD: handle };
  const target = `host=127.0.0.1 port=${gateway.ports.postgres} dbname=orders-db user=alice`;
  const done = await run('psql', [target, '-Atc', 'select count(*) from orders'], { env });
  t.match(done, { code: 0, stdout: '1000\n', stderr: '' });
  const described = await run('psql', [target, '-c', '\\d orders', '-c', '\\dt', '-c', '\\d+ order_summary'], { env });
  t.match(described, { code: 0, stderr: '' });
  t.match(described.stdout, /customer/);
});

t.test(
  'a statement outside the role is refused in PostgreSQL words, recorded, and never reaches the database',
  async (t) => {
    const gateway = await gatewayToOrders(t);
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    await t.rejects(client.query('delete from orders'), { code: '42501', message: /Daypass: .*delete.*orders/i });
    await t.rejects(client.query('select * from payment_methods'), { code: '42501' });
    t.equal((await client.query('select 1 as one')).rows[0].one, 1, 'the connection goes on');
    const [{ count }] = (await gateway.orders.database.query('select count(*)::int from orders')) as [
      { count: number },
    ];
    t.equal(count, 1000);
    await client.end();
    await gateway.stop();
    const refused = (await gateway.events()).filter((event) => event.facts.outcome === 'deny');
    t.match(refused, [
      { facts: { verb: 'delete', on: ['public.orders'] } },
      { facts: { on: ['public.payment_methods'] } },
    ]);
  },
);

t.test('a refusal inside a transaction aborts it, as PostgreSQL itself would', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'order-editor' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query('begin');
  await client.query("update orders set status = 'paid' where id = 1");
  await t.rejects(client.query('delete from orders'), { code: '42501' });
  await t.rejects(client.query('select 1'), { code: '25P02' });
  await client.query('commit');
  const rows = await gateway.orders.database.query('select status from orders where id = 1');
  t.same(rows, [{ status: 'open' }]);
});

t.test('prepared statements, parameters and cursors work', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  for (const id of [1, 2, 3]) {
    const { rows } = await client.query({
      name: 'by-id',
      text: 'select customer from orders where id = $1',
      values: [id],
    });
    t.equal(rows[0].customer, `customer ${id}`);
  }
  const { default: Cursor } = await import('pg-cursor');
  const cursor = client.query(new Cursor('select id from orders order by id'));
  t.equal((await cursor.read(10)).length, 10);
  t.equal((await cursor.read(1000)).length, 990);
  await cursor.close();
  await client.query('begin; declare c cursor for select id from orders order by id');
  t.equal((await client.query('fetch 5 from c')).rows.length, 5);
  await client.query('commit');
  await client.end();
  await gateway.stop();
  const events = await gateway.events();
  const executed = events.filter((event) => event.facts.verb === 'select' && event.payload?.parameters !== undefined);
  t.match(executed[0]?.payload, { text: 'select customer from orders where id = $1', parameters: ['1'] });
});

t.test('pgbench runs simple, extended and prepared', async (t) => {
  const gateway = await gatewayToOrders(t, {
    policy: { reader: '{ statements: [any] }' },
  });
  await gateway.orders.database.query(
    'create table pgbench_accounts (aid int primary key, bid int, abalance int, filler text); create table pgbench_branches (bid int)',
  );
  await gateway.orders.database.query(
    'insert into pgbench_branches values (1); insert into pgbench_accounts select n, 1, 0, null from generate_series(1, 100000) n; grant select on all tables in schema public to public',
  );
  const { handle } = await gateway.issue({ service: 'orders-db' });
  for (const mode of ['simple', 'extended', 'prepared']) {
    const args = [
      '-h',
      '127.0.0.1',
      '-p',
      String(gateway.ports.postgres),
      '-U',
      'alice',
      '-n',
      '-S',
      '-M',
      mode,
      '-c',
      '4',
      '-t',
      '25',
      'orders-db',
    ];
    const done = await pgbench(args, { env: { PGPASSWORD: handle } });
    t.match(done, { code: 0, stdout: /number of failed transactions: 0/ }, mode);
  }
});

t.test('an admission is refused with its reason', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle, id } = await gateway.issue({ service: 'orders-db' });
  const { port } = { port: gateway.ports.postgres };
  const wrong = `${handle.slice(0, -1)}${handle.endsWith('a') ? 'b' : 'a'}`;
  await t.rejects(throughGateway(t, port, 'hunter2'), { code: '28P01', message: /not a handle/ });
  await t.rejects(throughGateway(t, port, wrong), { code: '28P01' });
  await t.rejects(throughGateway(t, port, handle, { user: 'mallory' }), { code: '28000' });
  await t.rejects(throughGateway(t, port, handle, { database: 'nothing-here' }), { code: '3D000' });
  await gateway.operator('POST', `/v1/grants/${id}/revoke`, { reason: 'over', by: 'ops' });
  await t.rejects(throughGateway(t, port, handle), { code: '28P01', message: /revoked/ });
  const refused = gateway.lines.filter((line) => line.msg === 'not admitted');
  t.same(
    refused.map((line) => line.reason),
    ['malformed', 'unknown_grant', 'wrong_principal', 'unknown_service', 'revoked'],
  );
});
