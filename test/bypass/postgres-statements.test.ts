import { once } from 'node:events';
import t, { type Test } from 'tap';
import { redactSql } from '../../src/postgres/sql/redact.js';
import { gatewayToOrders, type Orders } from '../postgres/fixture.js';
import {
  bind,
  cstring,
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
import { ATTACKS } from './attacks/table.js';

/** Everything a write could change: every row of every table, and how many things of each kind there are. */
async function fingerprint({ database }: Orders): Promise<string> {
  const tables = await database.query<{ name: string }>(
    "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema') order by 1",
  );
  const sums: string[] = [];
  for (const { name } of tables) {
    const [row] = await database.query<{ sum: string }>(
      `select md5(coalesce(string_agg(r::text, ',' order by r::text), '')) as sum from ${name} r`,
    );
    sums.push(`${name} ${row?.sum}`);
  }
  const counts = [
    'pg_class',
    'pg_proc',
    'pg_type',
    'pg_namespace',
    'pg_operator',
    'pg_cast',
    'pg_largeobject_metadata',
    'pg_description',
    'pg_db_role_setting',
    'pg_prepared_xacts',
  ];
  for (const catalog of counts) {
    const [row] = await database.query<{ n: number }>(`select count(*)::int as n from ${catalog}`);
    sums.push(`${catalog} ${row?.n}`);
  }
  const [acl] = await database.query<{ acls: string }>(
    "select string_agg(relacl::text, ',' order by oid) as acls from pg_class where relnamespace = 'public'::regnamespace",
  );
  return [...sums, acl?.acls].join('\n');
}

async function reader(t: Test) {
  const gateway = await gatewayToOrders(t);
  const { handle } = await gateway.issue({ service: 'orders-db' });
  const join = async () => (await loggedIn(t, gateway.ports.postgres, handle)).client;
  return { ...gateway, join };
}

/** The first error's SQLSTATE, or what was answered instead. */
async function outcome(client: WireClient): Promise<string> {
  const answers = await client.until();
  const error = answers.find(({ type }) => type === 'E');
  return error === undefined ? shapes(answers) : (fields(error).C ?? '');
}

t.test(
  'no statement of the list gets through a read-only grant, by Query or by Parse, and each attempt is in the record (B2)',
  async (t) => {
    const gateway = await reader(t);
    const before = await fingerprint(gateway.orders);
    const client = await gateway.join();
    for (const { name, text } of ATTACKS) {
      client.send(query(text), query('rollback'), parse('', text), bind('', ''), execute(''), sync());
      t.match(await outcome(client), /^(42501|26000)$/, name);
      await client.until();
      t.match(await outcome(client), /^(42501|26000|42601)$/, `${name}, prepared`);
    }
    client.send(query('select count(*) from orders'));
    t.equal(shapes(await client.until()), 'T D C:SELECT 1 Z:I', 'the connection is as it was');
    t.equal(await fingerprint(gateway.orders), before, 'nothing has changed');
    client.socket.end();
    await once(client.socket, 'close');
    await gateway.stop();
    const denied = (await gateway.events()).filter(({ facts }) => facts.outcome === 'deny');
    const texts = new Set(denied.map(({ payload }) => payload?.text));
    for (const { name, text } of ATTACKS) t.ok(texts.has(redactSql(text)), `${name} is recorded`);
    t.notOk(
      denied.some(
        ({ facts }) => typeof facts.rule !== 'string' || facts.rule === '' || typeof facts.reason !== 'string',
      ),
      'with the rule that decided',
    );
  },
);

/** What a client may say that leaves what the role pins as it is. */
const RESTORING = [
  'reset all',
  'discard all',
  'reset default_text_search_config',
  'set default_transaction_read_only = on',
  'reset default_transaction_read_only',
  'set default_transaction_read_only to default',
];

t.test('RESET ALL and DISCARD ALL go back to what the role pins, not past it', async (t) => {
  const gateway = await reader(t);
  const client = await gateway.join();
  for (const text of RESTORING) {
    client.send(query(text));
    t.match(shapes(await client.until()), /^C:\w+/);
    for (const [name, value] of Object.entries({
      default_transaction_read_only: 'on',
      search_path: '"public"',
      standard_conforming_strings: 'on',
      client_encoding: 'UTF8',
    })) {
      client.send(query(`show ${name}`));
      const row = (await client.until()).find(({ type }) => type === 'D');
      t.equal(row?.body.toString('utf8', 6), value, `${name} after ${text}`);
    }
  }
});

/** What leads back to the pinned path, and as what the server shows that then. */
const BACK = [
  ['reset search_path'],
  ['set search_path to default'],
  ['reset all'],
  ['discard all'],
  ['set search_path = public', 'public'],
  ["set schema 'public'", 'public'],
] as const;

t.test('a search path that was emptied means nothing else, and goes back to what the role pins', async (t) => {
  const gateway = await reader(t);
  const client = await gateway.join();
  const answer = async (text: string) => {
    client.send(query(text));
    return outcome(client);
  };
  for (const empty of ["set search_path to ''", "select set_config('search_path', '', false)"]) {
    for (const [back, shown = '"public"'] of BACK) {
      t.match(await answer(empty), /^(?:S )?(?:C:SET|T D C:SELECT 1) (?:S )?Z:I$/, empty);
      t.equal(await answer('select count(*) from orders'), '42P01', 'what it was judged as is not found');
      t.equal(await answer('select count(*) from payment_methods'), '42501');
      t.equal(await answer('select count(*) from public.payment_methods'), '42501');
      t.equal(await answer('select count(*) from public.orders'), 'T D C:SELECT 1 Z:I');
      t.equal(await answer('select cancel_everything(o) from public.orders o'), '42501');
      t.match(await answer(back), /^(?:S )?C:\w+/);
      client.send(query('show search_path'));
      const row = (await client.until()).find(({ type }) => type === 'D');
      t.equal(row?.body.toString('utf8', 6), shown, `search_path after ${back}`);
    }
  }
});

t.test('row_security widens nothing: off, a policy makes an error of what it would have left out', async (t) => {
  const gateway = await reader(t);
  const client = await gateway.join();
  await gateway.orders.database.query(
    "alter table orders enable row level security; create policy paid on orders for select using (status = 'paid')",
  );
  const count = async () => {
    client.send(query('select count(*) from orders'));
    const [row] = (await client.until()).filter(({ type }) => type === 'D' || type === 'E');
    return row?.type === 'D' ? row.body.toString('utf8', 6) : row && fields(row).C;
  };
  t.equal(await count(), '333');
  for (const [text, seen] of [
    ['set row_security = off', '42501'],
    ['set row_security = on', '333'],
    ["select set_config('row_security', 'off', false)", '42501'],
    ['reset row_security', '333'],
  ] as const) {
    client.send(query(text));
    await client.until();
    t.equal(await count(), seen, text);
  }
});

t.test('a text that is not valid UTF-8, or is hidden behind an encoding, is refused (C21)', async (t) => {
  const gateway = await reader(t);
  const client = await gateway.join();
  for (const bytes of [
    Buffer.concat([Buffer.from("select '"), Buffer.from([0x95, 0x5c]), cstring("'; delete from orders; --'")]),
    Buffer.concat([Buffer.from([0xff, 0xfe]), cstring('select 1')]),
    Buffer.concat([Buffer.from('select 1 '), Buffer.from([0xc0, 0xaf]), Buffer.of(0)]),
    Buffer.concat([Buffer.from('select '), Buffer.from([0xed, 0xa0, 0x80]), Buffer.of(0)]),
  ]) {
    client.send(front('Q', bytes));
    t.equal(await outcome(client), '42501');
    client.send(front('P', Buffer.concat([Buffer.of(0), bytes, Buffer.of(0, 0)])), sync());
    t.equal(await outcome(client), '42501');
  }
});

t.test('a text that is too long or nested too deep is refused, and the next is judged as ever', async (t) => {
  const gateway = await reader(t);
  const client = await gateway.join();
  for (const text of [
    `select '${'x'.repeat(2_000_000)}'`,
    `select ${'('.repeat(20_000)}1${')'.repeat(20_000)}`,
    `select ${'-'.repeat(1)}${'not '.repeat(30_000)}true`,
    `select 1${' union select 1'.repeat(20_000)}`,
  ]) {
    client.send(query(text));
    t.match(await outcome(client), /^(42501|54000|54001)$/, text.slice(0, 20));
    client.send(query('delete from orders'));
    t.equal(await outcome(client), '42501');
    client.send(query('select 1'));
    t.equal(shapes(await client.until()), 'T D C:SELECT 1 Z:I');
  }
});
