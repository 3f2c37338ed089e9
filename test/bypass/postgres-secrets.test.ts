import { inflateRawSync } from 'node:zlib';
import t from 'tap';
import { ordersDatabase } from '../postgres/fixture.js';
import { startGateway, throughGateway } from '../support/gateway.js';
import { tapProxy } from '../support/tap-proxy.js';
import { loggedIn, query, shapes } from '../support/wire.js';

t.test(
  'neither the handle nor the injected password is seen by the wrong side, nor kept anywhere (A16, C20)',
  async (t) => {
    const orders = await ordersDatabase(t);
    const proxy = await tapProxy(t, orders.database.config.host, orders.database.config.port);
    const policy = orders.policy({ upstream: `127.0.0.1:${proxy.port}` });
    const gateway = await startGateway(t, { services: { 'orders-db': policy }, env: orders.env });
    const { handle } = await gateway.issue({ service: 'orders-db' });
    const { client, hello } = await loggedIn(t, gateway.ports.postgres, handle);
    client.send(
      query('select * from orders limit 1'),
      query('show all'),
      query("select current_setting('session_authorization')"),
      query('delete from orders'),
    );
    const answers = Buffer.concat([...hello, ...(await client.until('Z', 4))].map(({ body }) => body)).toString(
      'latin1',
    );
    const secret = handle.slice(-43);
    t.notOk(proxy.seen().toString('latin1').includes(secret), 'the handle does not reach the database');
    t.notOk(proxy.seen().toString('latin1').includes('alice'), 'nor the name the client logged in with');
    t.notOk(answers.includes('reader-secret'), 'the injected password does not reach the client');
    client.socket.end();
    await client.closed;
    await gateway.stop();
    const tables = await gateway.ledger.query<{ name: string }>(
      "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
    );
    t.ok(tables.length > 5);
    let everything = JSON.stringify(gateway.lines);
    for (const { name } of tables)
      everything += (await gateway.ledger.query<{ row: string }>(`select r::text as row from ${name} r`))
        .map(({ row }) => row)
        .join('\n');
    for (const { payload } of await gateway.ledger.query<{ payload: Buffer }>('select payload from daypass.blocks'))
      everything += inflateRawSync(payload).toString();
    for (const canary of [secret, 'reader-secret', 'fixer-secret', 'READER_PASSWORD: reader'])
      t.notOk(everything.includes(canary), canary.slice(0, 13));
  },
);

t.test(
  'a secret in a statement is cut out before anything is recorded, whether it is refused or not (D27)',
  async (t) => {
    const orders = await ordersDatabase(t);
    const policy = orders.policy({ more: '  master:\n    allow:\n      - { statements: [any] }\n' });
    const gateway = await startGateway(t, { services: { 'orders-db': policy }, env: orders.env });
    const texts = [
      "alter role current_user password 'c4nary'",
      "ALTER ROLE nobody WITH ENCRYPTED PASSWORD 'c4nary'",
      'create role someone login password $x$c4nary$x$',
      "create user someone PaSsWoRd E'c4nary'",
      "alter user nobody password U&'c4nary'",
      "alter role nobody password 'c4' \n 'nary-c4nary'",
      "create user mapping for current_user server s options (user 'x', password 'c4nary')",
      "create subscription s connection 'host=x password=c4nary' publication p",
      "select * from dblink('host=x password=c4nary', 'select 1') as x(y int)",
      "alter role nobody password 'c4nary",
      "alter role nobody password 'c4nary' ~~~ not sql",
    ];
    for (const role of ['reader', 'master']) {
      const { handle } = await gateway.issue({ service: 'orders-db', role });
      const { client } = await loggedIn(t, gateway.ports.postgres, handle);
      for (const text of texts) {
        client.send(query(text));
        t.match(shapes(await client.until()), /E:|C:ALTER|C:CREATE/, text);
      }
      client.socket.end();
      await client.closed;
    }
    const { handle } = await gateway.issue({ service: 'orders-db', role: 'master' });
    const prepared = await throughGateway(t, gateway.ports.postgres, handle);
    await prepared.query({ name: 'p', text: "alter role nobody password 'c4nary'" }).catch(() => {});
    await prepared.end();
    await gateway.stop();
    let everything = JSON.stringify(gateway.lines);
    for (const { payload } of await gateway.ledger.query<{ payload: Buffer }>('select payload from daypass.blocks'))
      everything += inflateRawSync(payload).toString();
    for (const table of ['block_index', 'sessions'])
      everything += (await gateway.ledger.query<{ row: string }>(`select r::text as row from daypass.${table} r`))
        .map(({ row }) => row)
        .join('\n');
    t.notMatch(everything, /c4nary/);
  },
);
