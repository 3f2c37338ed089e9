import t from 'tap';
import { psql } from '../support/commands.js';
import { startGateway, throughGateway } from '../support/gateway.js';
import { freePort } from '../support/ports.js';
import { startPostgres } from '../support/postgres.js';
import { gatewayToOrders, ordersDatabase } from './fixture.js';

t.test(
  "a database that is down is said in the client's protocol, logged once, recorded, and reached again",
  async (t) => {
    const port = await freePort();
    const gateway = await gatewayToOrders(t, { policy: { upstream: `127.0.0.1:${port}` } });
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const target = `host=127.0.0.1 port=${gateway.ports.postgres} dbname=orders-db user=alice`;
    const done = await psql(target, 'select 1', { env: { PGPASSWORD: handle } });
    t.match(done, { code: 2, stderr: /orders-db cannot be reached right now[\s\S]*connect again in a moment/ });
    t.notMatch(
      done.stderr,
      new RegExp(`${port}|reader_|reader-secret`),
      "where it is and as whom is nobody's business",
    );
    await t.rejects(throughGateway(t, gateway.ports.postgres, handle), { code: '08006' });
    const lines = gateway.lines.filter(({ msg }) => msg === 'no upstream connection');
    t.equal(lines.length, 2, 'one line each');
    t.match(lines[0], { reason: 'upstream_unavailable', rule: 'login at the upstream', service: 'orders-db' });
    await gateway.policy('orders-db', gateway.orders.policy());
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    t.equal((await client.query('select 1 as one')).rows[0].one, 1);
    await client.end();
    await gateway.stop();
    const refused = (await gateway.events()).filter(({ facts }) => facts.reason === 'upstream_unavailable');
    t.equal(refused.length, 2);
    const ends = await gateway.ledger.query('select end_reason from daypass.sessions order by id');
    t.same(
      ends.map(({ end_reason }) => end_reason),
      ['upstream_closed', 'upstream_closed', 'client_left'],
    );
  },
);

t.test('a database that refuses the injected login is said without its words', async (t) => {
  const gateway = await gatewayToOrders(t, { env: { READER_PASSWORD: 'a wrong one' } });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const error = await throughGateway(t, gateway.ports.postgres, handle).then(
    () => null,
    (thrown) => thrown,
  );
  t.match(error, { code: '08006', message: /cannot be reached/ });
  t.notMatch(JSON.stringify(error), /reader_|wrong one|password authentication/);
  const [line] = gateway.lines.filter(({ msg }) => msg === 'no upstream connection');
  t.match(line, { cause: /28P01/ }, 'the operator is told');
  t.notMatch(JSON.stringify(gateway.lines), /a wrong one/);
});

t.test('a database is asked to look for who runs a statement, unless its account has it look anyway', async (t) => {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const shown = async () => {
    const client = await throughGateway(t, gateway.ports.postgres, handle);
    const before = await client.query('show client_connection_check_interval');
    await client.query('discard all');
    const after = await client.query('show client_connection_check_interval');
    return [before, after].map(({ rows }) => rows[0].client_connection_check_interval);
  };
  t.same(await shown(), ['5s', '0'], 'until it is reset');
  const { database } = gateway.orders;
  await database.query(`alter role reader_${database.name} set client_connection_check_interval = '2s'`);
  t.same(await shown(), ['2s', '2s']);
});

t.test('a database that dies in the middle of an answer, and one that is shut down while nobody asks', async (t) => {
  const server = await startPostgres(t);
  const orders = await ordersDatabase(t, server);
  const gateway = await startGateway(t, { services: { 'orders-db': orders.policy() }, env: orders.env });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const idle = await throughGateway(t, gateway.ports.postgres, handle);
  const busy = await throughGateway(t, gateway.ports.postgres, handle);
  const told = new Promise<Error & { code?: string }>((resolve) => idle.once('error', resolve));
  const rows = busy.query('select a.id from orders a, orders b, orders c');
  rows.catch(() => {});
  while (
    (
      await orders.database.query(
        `select 1 from pg_stat_activity where state = 'active' and query like '%orders c%' and pid <> pg_backend_pid()`,
      )
    ).length === 0
  ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await server.crash();
  await t.rejects(rows);
  t.ok(await told);
  await t.rejects(throughGateway(t, gateway.ports.postgres, handle), { code: /08006|57P03/ });
});

t.test('TLS to the database: required and not offered is a refusal, never plaintext', async (t) => {
  const orders = await ordersDatabase(t);
  const policy = orders.policy().replace('upstream: {', 'upstream: { tls: require,');
  const gateway = await startGateway(t, { services: { 'orders-db': policy }, env: orders.env });
  const { handle } = await gateway.issue({ service: 'orders-db' });
  await t.rejects(throughGateway(t, gateway.ports.postgres, handle), { code: '08006' });
});
