import t, { type Test } from 'tap';
import { milliseconds, refuseTimeout } from '../../src/postgres/limits.js';
import { command } from '../support/commands.js';
import { throughGateway } from '../support/gateway.js';
import { gatewayToOrders } from './fixture.js';
import { compile } from './role.js';

const ALL = '{ statements: [select, show, copy-out, update], relations: [public.orders] }';

/** A gateway whose editor has these limits, and a client as the editor. */
async function limited(t: Test, limits: string, rules = ALL) {
  const gateway = await gatewayToOrders(t, { policy: { reader: rules, more: `    ${limits}` } });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'order-editor' });
  return { ...gateway, client: await throughGateway(t, gateway.ports.postgres, handle), handle };
}

t.test('a result over max_rows ends in an error, and the connection goes on', async (t) => {
  const { client, gateway, events } = await limited(t, 'max_rows: 100');
  t.equal((await client.query('select * from orders limit 100')).rowCount, 100);
  const seen: unknown[] = [];
  const query = client.query('select * from orders');
  client.once('row', (row: unknown) => seen.push(row));
  await t.rejects(query, { code: '54000', message: /more than the 100 rows/, hint: /LIMIT/ });
  t.equal((await client.query('select 1 as one')).rows[0].one, 1);
  await t.rejects(client.query('select * from orders where id > $1', [0]), { code: '54000' }, 'the extended protocol');
  await t.rejects(client.query({ name: 'p', text: 'select * from orders where id > $1', values: [0] }), {
    code: '54000',
  });
  t.equal(
    (await client.query({ name: 'p', text: 'select * from orders where id > $1', values: [990] })).rowCount,
    10,
    'the statement is still there',
  );
  await t.rejects(
    client.query('select 1 from generate_series(1, 10000000)'),
    { code: '54000' },
    'a long one is stopped',
  );
  t.equal((await client.query('select 1 as one')).rows[0].one, 1, 'what comes behind is not hit by the cancel');
  await client.end();
  await gateway.stop();
  const results = (await events()).filter(({ kind, facts }) => kind === 'result' && facts.limit === 'max_rows');
  t.equal(results.length, 4);
  t.match(results[0], { facts: { status: '54000' } });
});

t.test(
  'what goes over is not in the answer: psql shows what the server was asked for and no row too many',
  async (t) => {
    const { ports, handle } = await limited(t, 'max_rows: 3');
    const target = `host=127.0.0.1 port=${ports.postgres} dbname=orders-db user=alice`;
    const done = await command('psql', [target, '-XAt', '-c', 'copy (select id from orders order by id) to stdout'], {
      env: { PGPASSWORD: handle },
    });
    t.match(done, { code: 1, stdout: '1\n2\n3\n', stderr: /more than the 3 rows/ });
  },
);

t.test('in a transaction the state the client hears is the one the server is in', async (t) => {
  const { client, orders } = await limited(t, 'max_rows: 100');
  await client.query('begin');
  await client.query("update orders set status = 'gone' where id = 1");
  await t.rejects(client.query('select * from orders'), { code: '54000' });
  const after = await client.query('select 1').then(
    () => 'T',
    (thrown: { code: string }) => (thrown.code === '25P02' ? 'E' : thrown.code),
  );
  await client.query('commit');
  const [row] = await orders.database.query<{ status: string }>('select status from orders where id = 1');
  t.equal(
    row?.status,
    after === 'T' ? 'gone' : 'open',
    'a failed transaction is rolled back, one that goes on is committed',
  );
});

t.test('a change whose answer is over the limit says that it was made', async (t) => {
  const { client, orders } = await limited(t, 'max_rows: 2');
  const refused = await client
    .query("update orders set status = 'gone' where id < 6 returning id")
    .catch((thrown) => thrown);
  t.match(refused, { code: '54000', detail: /completed the statement \(UPDATE 5\)/ });
  t.same(await orders.database.query("select count(*)::int as n from orders where status = 'gone'"), [{ n: 5 }]);
});

t.test('a statement behind a result over the limit ends the session where it may have changed something', async (t) => {
  const { client } = await limited(t, 'max_rows: 2');
  await t.rejects(client.query("select id from orders limit 5; update orders set status = 'x' where id = 1"), {
    code: '54000',
  });
  await t.rejects(client.query('select 1'), 'the session is over');
});

t.test('max_bytes counts what a result brings, rows and COPY alike', async (t) => {
  const { client } = await limited(t, 'max_bytes: 2KiB');
  t.equal((await client.query('select id from orders limit 10')).rowCount, 10);
  await t.rejects(client.query('select * from orders'), { code: '54000', message: /more than the 2048 bytes/ });
  await t.rejects(client.query("select repeat('x', 5000)"), { code: '54000' }, 'a single row');
  await t.rejects(client.query("select repeat('x', 50000000)"), { code: '54000' }, 'one over many reads');
  t.equal((await client.query('select 1 as one')).rows[0].one, 1);
});

t.test('rows are counted for each statement, in a text of several too', async (t) => {
  const { client } = await limited(t, 'max_rows: 5', '{ statements: [select], relations: [public.orders] }');
  const both = (await client.query(
    'select 1 from orders limit 5; select 1 from orders limit 5',
  )) as unknown as unknown[];
  t.equal(both.length, 2);
});

t.test('statement_timeout is in force from the start, and a client can only shorten it', async (t) => {
  const { client, gateway, events, ports, handle } = await limited(t, 'statement_timeout: 2s');
  t.same((await client.query('show statement_timeout')).rows, [{ statement_timeout: '2s' }]);
  for (const text of [
    "set statement_timeout = '1s'",
    'set statement_timeout = 500',
    'set local statement_timeout to 2000',
    'reset statement_timeout',
    'reset all',
  ]) {
    await t.resolves(client.query(text), text);
  }
  for (const text of [
    "set statement_timeout = '1min'",
    'set statement_timeout = 2001',
    "set statement_timeout = 'x'",
    "set statement_timeout = '0x1'",
  ]) {
    await t.rejects(client.query(text), { code: '42501', message: /1 to 2000 ms/ }, text);
  }
  await t.rejects(client.query("select set_config('statement_timeout', '2001', false)"), { code: '42501' });
  await t.rejects(client.query("select set_config('statement_timeout', $1, false)", ['1']), { code: '42501' });
  await t.rejects(throughGateway(t, ports.postgres, handle, { options: '-c statement_timeout=0' }), { code: '42501' });
  const quick = await throughGateway(t, ports.postgres, handle, { options: '-c statement_timeout=100' });
  await t.rejects(quick.query('select pg_sleep(30)'), { code: '57014' });
  await t.rejects(client.query('select pg_sleep(30)'), { code: '57014' });
  await Promise.all([client.end(), quick.end()]);
  await gateway.stop();
  const timed = (await events()).filter(({ kind, facts }) => kind === 'result' && facts.status === '57014');
  t.equal(timed.length, 2);
});

t.test('statement_timeout = 0 asks for no limit of its own, and the role keeps its limit', async (t) => {
  const { client } = await limited(t, 'statement_timeout: 1s');
  for (const text of [
    'set statement_timeout = 0',
    "set statement_timeout = '0s'",
    "select set_config('statement_timeout', '0', false)",
    "begin; set local statement_timeout = 0; select set_config('statement_timeout', '0', true)",
  ]) {
    await client.query(text);
    const from = process.hrtime.bigint();
    await t.rejects(client.query('select pg_sleep(30)'), { code: '57014' }, text);
    t.ok(process.hrtime.bigint() - from < 20_000_000_000n, 'not by its own end');
  }
});

t.test('what the server lets run too long the gateway cancels itself', async (t) => {
  const gateway = await gatewayToOrders(t, {
    policy: { more: '  admin:\n    statement_timeout: 1s\n    allow: [{ statements: [any] }]' },
  });
  const { handle } = await gateway.issue({ service: 'orders-db', role: 'admin' });
  const client = await throughGateway(t, gateway.ports.postgres, handle);
  await client.query('set statement_timeout = 0');
  await t.rejects(client.query('select pg_sleep(30)'), { code: '57014' });
  t.equal((await client.query('select 1 as one')).rows[0].one, 1);
});

t.test('a time is read as PostgreSQL reads it', async (t) => {
  t.equal(milliseconds('250'), 250);
  t.equal(milliseconds(' 1.5 s '), 1500);
  t.equal(milliseconds('2min'), 120_000);
  t.equal(milliseconds('100us'), 0.1);
  for (const text of ['', 's', '1 m', '-1', '1e3', '0x10', '1s1s', '1 S']) t.equal(milliseconds(text), null, text);
  t.equal(refuseTimeout('0', null), null);
  t.match(refuseTimeout('0', 1000), /1 to 1000/);
  t.match(refuseTimeout('100us', 1000), /1 to 1000/, 'less than a millisecond is none to the server');
});

t.test('limits that say nothing are refused in the policy', async (t) => {
  const allow = [{ statements: ['show'] }];
  t.ok(compile({ allow, max_rows: 1, max_bytes: 1, statement_timeout: 1 }).ok);
  t.throws(() => compile({ allow, max_rows: 0 }));
  t.throws(() => compile({ allow, max_rows: 1.5 }));
});
