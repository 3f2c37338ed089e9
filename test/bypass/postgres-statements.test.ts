import { once } from 'node:events';
import t, { type Test } from 'tap';
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

/** THREATS.md B2: what a read-only grant must not get through, whichever wall stops it. Each is tried by Query and by Parse/Execute. */
const ATTEMPTS: Readonly<Record<string, string>> = {
  'a writable CTE': 'with gone as (delete from orders returning *) select * from gone',
  'SELECT INTO': 'select * into stolen from orders',
  'EXPLAIN ANALYZE of DML': "explain analyze update orders set status = 'x'",
  'EXPLAIN ANALYZE EXECUTE of DML': 'explain analyze execute nothing',
  DO: "do $$ begin update orders set status = 'x'; end $$",
  'DO that leaves its transaction':
    "do $$ begin rollback; set transaction read write; update orders set status = 'x'; end $$",
  CALL: 'call something()',
  'COPY TO PROGRAM': "copy orders to program 'id > /tmp/daypass-was-here'",
  'COPY TO a file': "copy orders to '/tmp/daypass-was-here'",
  'COPY FROM a file': "copy orders from '/etc/passwd'",
  'COPY FROM STDIN': 'copy orders from stdin',
  'COPY of a write': 'copy (delete from orders returning *) to stdout',
  'SET transaction_read_only': 'set transaction_read_only = off',
  'SET default_transaction_read_only': 'set default_transaction_read_only = off',
  'SET SESSION CHARACTERISTICS': 'set session characteristics as transaction read write',
  'SET TRANSACTION READ WRITE': 'set transaction read write',
  'BEGIN READ WRITE': 'begin read write',
  'SET ROLE': 'set role postgres',
  'SET LOCAL ROLE': 'set local role postgres',
  'SET SESSION AUTHORIZATION': 'set session authorization postgres',
  'RESET ROLE': 'reset role',
  'RESET SESSION AUTHORIZATION': 'reset session authorization',
  'set_config()': "select set_config('default_transaction_read_only', 'off', false)",
  'set_config() in a FROM': "select * from set_config('role', 'postgres', false)",
  'set_config() of a column': "select set_config(status, 'x', false) from orders limit 1",
  'SET search_path': 'set search_path = evil, public',
  'SET standard_conforming_strings': 'set standard_conforming_strings = off',
  'SET client_encoding': "set client_encoding = 'SJIS'",
  'SET NAMES': "set names 'SJIS'",
  'PREPARE of a write': 'prepare evil as delete from orders',
  'a function called as a column': 'select o.cancel_everything from orders o limit 1',
  'a function called as a column, in parentheses': 'select (o).cancel_everything from orders o limit 1',
  'a security-definer function': 'select cancel_everything(o) from orders o limit 1',
  'an operator of another schema': 'select 1 operator(public.+) 1',
  'a cast to a type of another schema': "select 'x'::public.orders",
  'TABLESAMPLE of another method': 'select * from orders tablesample public.evil (10)',
  LOAD: "load 'evil'",
  'ALTER SYSTEM': 'alter system set fsync = off',
  'ALTER ROLE': 'alter role current_user set default_transaction_read_only = off',
  LISTEN: 'listen channel',
  NOTIFY: "notify channel, 'x'",
  'pg_notify()': "select pg_notify('channel', 'x')",
  LOCK: 'lock table orders',
  'SELECT FOR UPDATE': 'select * from orders for update',
  'PREPARE TRANSACTION': "prepare transaction 'x'",
  'COMMIT PREPARED': "commit prepared 'x'",
  dblink: "select * from dblink('host=127.0.0.1', 'select 1') as x(y int)",
  lo_create: 'select lo_create(0)',
  lo_import: "select lo_import('/etc/passwd')",
  lo_from_bytea: "select lo_from_bytea(0, 'x')",
  pg_read_file: "select pg_read_file('/etc/passwd')",
  pg_ls_dir: "select pg_ls_dir('/')",
  pg_stat_file: "select pg_stat_file('/')",
  pg_terminate_backend: 'select pg_terminate_backend(pid) from pg_stat_activity',
  pg_cancel_backend: 'select pg_cancel_backend(1)',
  pg_reload_conf: 'select pg_reload_conf()',
  'an advisory lock': 'select pg_advisory_lock(1)',
  nextval: "select nextval('some_sequence')",
  query_to_xml: "select query_to_xml('delete from orders', true, true, '')",
  ts_stat: "select * from ts_stat('select 1')",
  database_to_xml: "select database_to_xml(true, true, '')",
  'a table that is not granted': 'select * from payment_methods',
  'a table that is not granted, in a subquery': 'select (select card from payment_methods limit 1) from orders',
  'a table that is not granted, in a CTE with a granted name':
    'with orders as (select * from payment_methods) select * from orders',
  'a table that is not granted, in a JOIN USING': 'select * from orders natural join payment_methods',
  'a table that is not granted, by TABLE': 'table payment_methods',
  'a table that is not granted, by regclass': "select 'payment_methods'::regclass::oid, * from payment_methods",
  'the passwords of roles': 'select * from pg_authid',
  'what others are running': 'select query from pg_stat_activity',
  'statistics of columns': 'select * from pg_statistic',
  'nested comments': 'select 1 /* /* */ ; delete from orders; */; delete from orders',
  'a dollar quote that ends early': 'select $tag$ $tag$; delete from orders; --$tag$',
  'an escape string': "select E'\\'; delete from orders; --'; delete from orders",
  'a unicode identifier': 'delete from U&"\\006Frders"',
  'a unicode identifier of a function': "select U&\"set\\005Fconfig\"('role', 'postgres', false)",
  'several statements of which one writes': 'select 1; delete from orders; select 2',
  'COMMIT, then a write': "commit; update orders set status = 'x'",
  'a cursor over a write': 'declare c cursor for delete from orders returning *',
  'CREATE TABLE AS': 'create table stolen as select * from orders',
  'CREATE TEMP TABLE': 'create temp table orders (id int)',
  'CREATE TEMP VIEW': 'create temp view v as select * from payment_methods',
  'REFRESH, VACUUM': 'vacuum orders',
  CLUSTER: 'cluster orders',
  COMMENT: "comment on table orders is 'x'",
  TRUNCATE: 'truncate orders cascade',
  MERGE: 'merge into orders using order_items on false when matched then delete',
  'INSERT ON CONFLICT': "insert into orders values (1, 'x', 'x', 1) on conflict do nothing",
  GRANT: 'grant all on payment_methods to public',
};

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
    for (const [name, text] of Object.entries(ATTEMPTS)) {
      client.send(query(text));
      t.match(await outcome(client), /^(42501|26000)$/, name);
      client.send(query('rollback'), parse('', text), bind('', ''), execute(''), sync());
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
    for (const [name, text] of Object.entries(ATTEMPTS)) t.ok(texts.has(text), `${name} is recorded`);
    t.notOk(
      denied.some(
        ({ facts }) => typeof facts.rule !== 'string' || facts.rule === '' || typeof facts.reason !== 'string',
      ),
      'with the rule that decided',
    );
  },
);

t.test('RESET ALL and DISCARD ALL go back to what the role pins, not past it', async (t) => {
  const gateway = await reader(t);
  const client = await gateway.join();
  for (const text of ['reset all', 'discard all', 'reset default_text_search_config']) {
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
