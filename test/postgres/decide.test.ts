import t from 'tap';
import type { Decision } from '../../src/policy/decision.js';
import { decide, describeSql } from '../../src/postgres/decide.js';
import type { PostgresRole } from '../../src/postgres/role.js';
import { analyse, loadParser } from '../../src/postgres/sql/analyse.js';
import { READER, roleOf } from './role.js';
import { PSQL_QUERIES } from './sql/psql-queries.js';

await loadParser();

const reader = roleOf(READER);
const editor = roleOf(READER, { allow: [{ statements: ['update'], relations: ['public.orders'] }] });
const anyone = roleOf({ allow: [{ statements: ['any'] }] });

function decided(role: PostgresRole, text: string, contained: readonly string[] = []): Decision {
  const action = { text, analysis: analyse(text), contained: contained.map(analyse), via: 'query' as const };
  return decide(role, action);
}

t.test('a reader may read what its rules name, in every way of reading', async (t) => {
  for (const text of [
    'select * from orders',
    'select * from public.orders o join order_items i on o.id = i.order_id where o.id in (select id from order_summary)',
    'with q as (select * from orders) select count(*) from q',
    'table orders',
    'explain select * from orders',
    'explain (analyze, buffers) select * from orders',
    'copy orders to stdout',
    'copy (select * from orders) to stdout with csv',
    'prepare p as select * from orders where id = $1',
    'declare c cursor for select * from orders',
    'close c',
    'deallocate all',
    'discard all',
    'show server_version',
    'show all',
    "select current_setting('server_version_num')",
    "select name, setting from pg_settings where name = 'search_path'",
    'select 1',
    'select version(), current_user, now(), pg_sleep(0.1)',
    "select pg_backend_pid(), pg_is_in_recovery(), txid_current_if_assigned(), pg_relation_size('orders')",
    'begin',
    'begin read only',
    'begin isolation level repeatable read',
    'start transaction read only, deferrable',
    'set transaction isolation level serializable',
    'set session characteristics as transaction read only',
    'commit',
    'end',
    'rollback',
    'savepoint a; release a',
    'rollback to savepoint a',
    'set constraints all deferred',
    "set datestyle = 'ISO'",
    "set timezone to 'UTC'",
    "set time zone 'UTC'",
    'set extra_float_digits = 3',
    "set application_name = 'x'",
    'set local statement_timeout = 1000',
    "set client_encoding to 'UTF8'",
    "set names 'utf-8'",
    'set standard_conforming_strings = on',
    'set enable_seqscan = off',
    'reset all',
    'reset statement_timeout',
    // Drivers and pools
    "SET default_transaction_read_only TO 'on'",
    'SET default_transaction_read_only TO DEFAULT',
    'reset default_transaction_read_only',
    'SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL',
    "select current_setting('jit') as cur, set_config('jit', 'off', false) as new",
    "select set_config('jit', $1, false)",
    "SET SESSION search_path TO 'public'",
    'set search_path to public',
    "select set_config('search_path', 'public', true)",
    '',
    ';',
    'select * from pg_class; select * from information_schema.tables',
    "select 'orders'::regclass::oid",
  ]) {
    const decision = decided(reader, text);
    t.equal(decision.outcome, 'allow', `${text}: ${decision.message}`);
  }
});

t.test('what psql asks for its backslash commands passes as reader', async (t) => {
  for (const text of PSQL_QUERIES) {
    const decision = decided(reader, text);
    t.equal(decision.outcome, 'allow', `${text.slice(0, 80)}: ${decision.message}`);
  }
});

t.test('what pgbench, node-postgres and JDBC ask when they start passes as reader', async (t) => {
  for (const text of [
    `select o.n, p.partstrat, pg_catalog.count(i.inhparent) from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n
     on (n.oid = c.relnamespace) cross join lateral (select pg_catalog.array_position(pg_catalog.current_schemas(true), n.nspname)) as o(n)
     left join pg_catalog.pg_partitioned_table as p on (p.partrelid = c.oid) left join pg_catalog.pg_inherits as i on (c.oid = i.inhparent)
     where c.relname = 'pgbench_accounts' and o.n is not null group by 1, 2 order by 1 asc limit 1`,
    'SET extra_float_digits = 3',
    "SET application_name = 'PostgreSQL JDBC Driver'",
    'SHOW TRANSACTION ISOLATION LEVEL',
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
    'select current_schema()',
    "SELECT string_agg(word, ',') FROM pg_catalog.pg_get_keywords() WHERE word <> ALL ('{a,abs}'::text[])",
    `SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME,
     (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME, information_schema._pg_expandarray(i.indkey) AS KEYS
     FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid)
     JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON ( a.attrelid = i.indrelid)
     JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE true AND i.indisprimary`,
    `SELECT t.oid, t.typname, pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.format_type(a.atttypid, a.atttypmod),
     pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.obj_description(c.oid, 'pg_class')
     FROM pg_type t, pg_attrdef d, pg_attribute a, pg_class c`,
  ]) {
    const decision = decided(reader, text);
    t.equal(decision.outcome, 'allow', `${text.slice(0, 80)}: ${decision.message}`);
  }
});

/** What pg_dump 15 and 18 say before they ask the catalogs. */
const DUMP = [
  "SELECT pg_catalog.set_config('search_path', '', false)",
  'SET DATESTYLE = ISO',
  'SET INTERVALSTYLE = POSTGRES',
  'SET extra_float_digits TO 3',
  'SET synchronize_seqscans TO off',
  'SET statement_timeout = 0',
  'SET lock_timeout = 0',
  'SET idle_in_transaction_session_timeout = 0',
  'SET transaction_timeout = 0',
  'SET row_security = off',
  'SET row_security = on',
  "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'",
  'BEGIN',
  'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY',
  'LOCK TABLE public.orders, ONLY public.order_items IN ACCESS SHARE MODE',
  'PREPARE dumpFunc(pg_catalog.oid) AS SELECT pg_catalog.pg_get_functiondef($1) FROM pg_catalog.pg_proc WHERE oid = $1',
  'COPY public.orders (id, status) TO stdout;',
  "set search_path = ''",
];

t.test('what pg_dump says before it reads passes as reader, and what it says of others does not', async (t) => {
  for (const text of DUMP) {
    const decision = decided(reader, text);
    t.equal(decision.outcome, 'allow', `${text}: ${decision.message}`);
  }
  const withoutShow = roleOf({ allow: [{ statements: ['select'], relations: ['public.orders'] }] });
  for (const text of DUMP.filter((one) => !/COPY|order_items|pg_settings/.test(one)))
    t.equal(decided(withoutShow, text).outcome, 'allow', text);
  t.match(decided(reader, 'LOCK TABLE public.orders, public.secrets IN ACCESS SHARE MODE'), {
    outcome: 'deny',
    rule: 'no rule allows select on public.secrets',
  });
});

t.test('a search path is emptied only where nothing is written: a trigger would find nothing any more', async (t) => {
  for (const text of ["select set_config('search_path', '', true)", "set local search_path to ''"])
    t.equal(decided(editor, text).outcome, 'deny', text);
});

t.test('a reader is refused whatever writes, steers the server or hides what it does', async (t) => {
  for (const text of [
    // B2: writing under the name of reading
    'delete from orders',
    'with x as (delete from orders returning *) select * from x',
    'select * into copied from orders',
    'select * into temp copied from orders',
    'create table copied as select * from orders',
    'create temp table copied as select 1',
    'explain analyze delete from orders',
    'explain delete from orders',
    'explain analyze create table x as select 1',
    "do $$ begin perform set_config('transaction_read_only', 'off', false); end $$",
    'call p()',
    "copy orders to program 'sh'",
    "copy orders to '/tmp/x'",
    'copy orders from stdin',
    "copy orders from program 'sh'",
    'copy (delete from orders returning *) to stdout',
    'select * from orders for update',
    'select * from orders for key share',
    'prepare p as delete from orders',
    'declare c cursor for select * from secrets',
    'declare c cursor for select * from orders for update',
    'select 1; delete from orders',
    'commit; insert into orders values (1)',
    // settings
    'set transaction_read_only = off',
    'set local transaction_read_only to off',
    'set default_transaction_read_only = off',
    'set transaction read write',
    'begin read write',
    'begin transaction isolation level serializable, read write',
    'set session characteristics as transaction read write',
    'set role postgres',
    'set local role postgres',
    'reset role',
    'set session authorization postgres',
    'reset session authorization',
    'set search_path = evil',
    'set standard_conforming_strings = off',
    "set client_encoding = 'SJIS'",
    "set names 'latin1'",
    "set backslash_quote = 'on'",
    'set evil.x = 1',
    "select set_config('search_path', 'evil', false)",
    "select pg_catalog.set_config('role', 'postgres', true)",
    // the server, files, other sessions
    "load 'x'",
    "alter system set x = 'y'",
    'listen a',
    'notify a',
    "select pg_notify('a', 'b')",
    'lock table orders',
    'lock orders in row share mode',
    'lock secrets in access share mode',
    'lock orders, secrets in access share mode',
    "prepare transaction 'x'",
    "commit prepared 'x'",
    "select dblink('host=x', 'delete from orders')",
    "select * from dblink_exec('x')",
    'select lo_create(0)',
    "select lo_import('/etc/passwd')",
    'select lo_get(1)',
    'select loread(1, 2)',
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select * from pg_stat_file('x')",
    'select pg_terminate_backend(1)',
    'select pg_cancel_backend(1)',
    'select pg_advisory_lock(1)',
    'select pg_try_advisory_xact_lock(1)',
    'select pg_reload_conf()',
    'select pg_switch_wal()',
    'select pg_export_snapshot()',
    "select pg_logical_emit_message(true, 'a', 'b')",
    'select * from pg_stat_get_activity(null)',
    'select * from pg_show_all_settings()',
    "select nextval('orders_id_seq')",
    "select setval('orders_id_seq', 1)",
    "select query_to_xml('delete from orders', true, true, '')",
    "select table_to_xml('secrets', true, true, '')",
    "select * from ts_stat('select * from secrets')",
    "select ts_rewrite('a'::tsquery, 'select * from secrets')",
    "select database_to_xml(true, true, '')",
    "select cursor_to_xml('c', 1, true, true, '')",
    // relations
    'select * from secrets',
    'select * from other.orders',
    'select * from orders, secrets',
    'select (select x from secrets)',
    'table secrets',
    'copy secrets to stdout',
    'explain select * from secrets',
    'with orders as (select * from secrets) select * from orders',
    'with a as (select * from secrets), secrets as (select 1) select * from a',
    'select * from "Orders"',
    'select * from "public.orders"',
    'select * from pg_temp.orders',
    'select * from pg_authid',
    'select * from pg_catalog.pg_shadow',
    'select * from pg_user_mapping',
    'select * from pg_user_mappings',
    'select * from pg_stat_activity',
    'select * from pg_statistic',
    'select * from pg_stats',
    'select * from pg_largeobject',
    'select * from pg_hba_file_rules',
    'select * from pg_file_settings',
    'select * from pg_subscription',
    'select * from pg_locks',
    'select * from pg_toast.pg_toast_1',
    'select * from information_schema.user_mapping_options',
    "update pg_settings set setting = 'off' where name = 'transaction_read_only'",
    // shadows and overloads
    'select evil.lower(status) from orders',
    'select danger(o) from orders o',
    'select 1 operator(evil.+) 2',
    "select 'x'::evil.typ",
    'select status collate evil.c from orders',
    // disguise
    'select/*/**/*/1;delete from orders',
    'select $tag$ $tag$; delete from orders',
    "select e'\\''; delete from orders --'",
    'select U&"\\0061" from U&"secret\\0073"',
    'selec 1',
    'create table x (a int)',
    'alter table orders add column x int',
    'drop table orders',
    'truncate orders',
    'create view v as select * from orders',
    'comment on table orders is null',
    'grant select on orders to public',
    'vacuum',
    'analyze orders',
    'reindex table orders',
    'refresh materialized view m',
    'insert into orders select * from orders',
    'merge into orders using order_items i on true when matched then delete',
    'update orders set status = 1',
  ]) {
    const decision = decided(reader, text);
    t.equal(decision.outcome, 'deny', text);
    t.ok(decision.rule !== '' && decision.message !== '', `${text}: says why`);
  }
});

t.test('a write needs a rule for its target, and every relation it reads one that grants select', async (t) => {
  const may = (text: string) => decided(editor, text).outcome;
  t.equal(may("update orders set status = 'x' where id = 1"), 'allow');
  t.equal(may('update orders set status = i.sku from order_items i where i.order_id = orders.id returning *'), 'allow');
  t.equal(may('update order_items set sku = 1'), 'deny');
  t.equal(may('update orders set status = (select x from secrets)'), 'deny');
  t.equal(may('update orders set status = 1 from secrets'), 'deny');
  t.equal(may('select * from orders for update'), 'allow');
  t.equal(may('select * from orders o join order_items i on true for update of o'), 'allow');
  t.equal(may('select * from orders o join order_items i on true for update of i'), 'deny');
  t.equal(may('begin read write'), 'allow');
  t.equal(may('set session characteristics as transaction read write'), 'deny');
  t.equal(may('explain update orders set status = 1'), 'allow', 'its reader part allows explain on orders');
  t.equal(may('explain update order_items set sku = 1'), 'deny');
  t.equal(may('insert into orders values (1)'), 'deny');
  t.equal(may('merge into orders using order_items i on true when matched then update set status = 1'), 'deny');
  const inserter = roleOf({ allow: [{ statements: ['insert'], relations: ['public.orders'] }] });
  t.equal(decided(inserter, 'insert into orders values (1)').outcome, 'allow');
  t.match(
    decided(inserter, 'insert into orders values (1) returning id').rule,
    'no rule allows select on public.orders',
  );
  t.equal(decided(inserter, 'insert into orders values (1) on conflict (id) do update set x = 1').outcome, 'deny');
  const definer = roleOf({ allow: [{ statements: ['ddl', 'select'], relations: ['work.*'] }], search_path: ['work'] });
  t.equal(decided(definer, 'create table a as select * from b').outcome, 'allow');
  t.equal(decided(definer, 'create table a as select * from public.b').outcome, 'deny');
  t.equal(decided(definer, 'alter table public.a rename to b').outcome, 'deny');
});

t.test('a name that runs is judged by everything it may stand for', async (t) => {
  t.equal(decided(reader, 'execute p(1)', ['select * from orders']).outcome, 'allow');
  t.equal(decided(reader, 'execute p(1)', ['delete from orders']).outcome, 'deny');
  t.equal(decided(reader, 'execute p(1)', ['select 1', 'delete from orders']).outcome, 'deny');
  t.equal(decided(reader, 'execute p((select 1 from secrets))', ['select 1']).outcome, 'deny');
  t.equal(decided(reader, 'execute p').reason, 'unknown_effect');
  t.equal(decided(reader, 'fetch 10 from c').reason, 'unknown_effect');
  t.equal(decided(reader, 'explain execute p').reason, 'unknown_effect');
  t.equal(decided(reader, 'fetch 10 from c', ['select * from orders']).outcome, 'allow');
  t.equal(decided(reader, 'declare c cursor for select * from orders; fetch c').outcome, 'allow');
  t.equal(decided(reader, 'fetch c; declare c cursor for select * from orders').outcome, 'deny');
});

t.test('functions outside the list are called only by roles that name them', async (t) => {
  const caller = roleOf(READER, {
    allow: [{ statements: ['select'], functions: ['public.order_total', 'pg_catalog.nextval', 'public.set_config'] }],
  });
  t.equal(decided(caller, 'select order_total(1), public.order_total(2)').outcome, 'allow');
  t.equal(decided(caller, "select nextval('x'), pg_catalog.nextval('x')").outcome, 'allow');
  t.equal(decided(caller, 'select other.order_total(1)').outcome, 'deny');
  // Unqualified, PostgreSQL takes its own.
  t.equal(decided(caller, "select set_config('role', 'postgres', false)").outcome, 'deny');
  t.equal(decided(reader, 'select order_total(1)').outcome, 'deny');
});

t.test('a role without `show` sees no settings by any way', async (t) => {
  const role = roleOf({ allow: [{ statements: ['select'], relations: ['public.orders'] }] });
  for (const text of [
    'show all',
    "select current_setting('x')",
    'select * from pg_settings',
    'explain select 1',
    'copy (select 1) to stdout',
  ]) {
    t.equal(decided(role, text).outcome, 'deny', text);
  }
});

t.test('a refusal names the relation, the statement and the rule it would take', async (t) => {
  t.match(decided(reader, 'delete from orders'), {
    outcome: 'deny',
    reason: 'out_of_scope',
    rule: 'no rule allows delete on public.orders',
    message: 'delete on public.orders is outside the role tested',
    hint: 'it takes a rule { statements: [delete], relations: [public.orders] }',
  });
  t.match(decided(reader, 'selec'), { reason: 'unparsable', message: /syntax error/ });
  t.match(decided(reader, 'do $$ $$').rule, 'no rule allows do');
  t.equal(
    decided(reader, 'select * from orders').rule,
    'tested: select, explain, show, copy-out on public.orders, public.order_items, public.order_summary',
  );
});

t.test('`any` lets everything through, even what cannot be parsed', async (t) => {
  for (const text of ['selec 1', 'drop database x', 'set role postgres', 'execute nobody']) {
    t.match(decided(anyone, text), { outcome: 'allow', rule: 'tested: any' });
  }
});

t.test('the record says what is done to what, without secrets', async (t) => {
  const facts = (text: string, contained: readonly string[] = []) =>
    describeSql({ text, analysis: analyse(text), contained: contained.map(analyse), via: 'query' }, 'public');
  t.match(facts('with x as (delete from a returning *) select count(*) from x, s.b, pg_class'), {
    facts: { verb: 'select,delete', on: ['public.a', 's.b', 'pg_catalog.pg_class'], functions: ['count'] },
  });
  t.match(facts('execute p', ['select * from a']), { facts: { verb: 'execute,select', on: ['public.a'] } });
  t.match(facts('selec'), { facts: { verb: 'unknown', on: [] }, payload: { text: 'selec' } });
  t.match(facts(''), { facts: { verb: 'empty' } });
  t.match(facts("alter user a password 'x'"), { payload: { text: "alter user a password '[redacted]'" } });
  t.match(facts('explain analyze update a set x = 1'), { facts: { verb: 'explain,update' } });
});
