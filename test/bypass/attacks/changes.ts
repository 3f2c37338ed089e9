import type { Attacks } from './table.js';

/** Statements that change rows, definitions, rights or the server. */
export const CHANGES: Attacks = {
  'no rule allows delete on public.orders': {
    'a writable CTE': 'with gone as (delete from orders returning *) select * from gone',
    'COPY of a write': 'copy (delete from orders returning *) to stdout',
    'PREPARE of a write': 'prepare evil as delete from orders',
    'nested comments': 'select 1 /* /* */ ; delete from orders; */; delete from orders',
    'a dollar quote that ends early': 'select $tag$ $tag$; delete from orders; --$tag$',
    'an escape string': "select E'\\'; delete from orders; --'; delete from orders",
    'a unicode identifier': 'delete from U&"\\006Frders"',
    'several statements of which one writes': 'select 1; delete from orders; select 2',
    'a writable CTE in a subselect': 'select (with gone as (delete from orders returning 1) select count(*) from gone)',
    'a writable CTE in a FROM': 'select * from (with gone as (delete from orders returning *) select * from gone) x',
    'a writable CTE in a recursive WITH':
      'with recursive a as (select 1), gone as (delete from orders returning *) select * from a, gone',
    'a writable CTE behind a cursor':
      'declare c cursor for with gone as (delete from orders returning *) select * from gone',
    'a writable CTE that is explained':
      'explain (analyze, timing off) with gone as (delete from orders returning *) select * from gone',
    'a writable CTE that is copied':
      'copy (with gone as (delete from orders returning *) select * from gone) to stdout',
    'DELETE USING': 'delete from orders using order_items i where i.order_id = orders.id',
    'EXECUTE of a prepared write': 'prepare w as delete from orders; execute w',
    'COMMIT AND CHAIN, then a write': 'begin; commit and chain; delete from orders',
    'SAVEPOINT, then a write': 'begin; savepoint s; delete from orders',
    'DISCARD ALL, then a write': 'discard all; delete from orders',
    'a backslash before a quote': "select '\\'; delete from orders; --'",
    'an escape string with an escaped quote': "select e'\\\\'; delete from orders; --'",
    'a unicode string': "select U&'\\0027'; delete from orders; --'",
    'strings that go on in the next line': "select 'a'\n'b'; delete from orders",
    'a dollar quote in a dollar quote': 'select $a$ $b$ $a$; delete from orders; --$b$',
    'a dollar quote with another tag': 'select $A$ $a$ $A$; delete from orders',
    'a comment within an operator': 'select 1 +/* */1; delete from orders',
    'a line comment that ends by a carriage return': 'select 1; -- \rdelete from orders',
    'empty statements before a write': ';;; delete from orders',
    'a write with a form feed': 'select 1;\fdelete from orders',
    'a write from right to left': 'delete from orders \u202e',
  },
  'no rule allows ddl on public.stolen': {
    'SELECT INTO': 'select * into stolen from orders',
    'CREATE TABLE AS': 'create table stolen as select * from orders',
    'COPY of SELECT INTO': 'copy (select 1 as a into stolen) to stdout',
    'SELECT INTO UNLOGGED': 'select * into unlogged stolen from orders',
    'SELECT INTO in a UNION': 'select id into stolen from orders union select 1',
    'CREATE TABLE AS TABLE': 'create table stolen as table orders',
    'CREATE TABLE AS VALUES': 'create unlogged table stolen as values (1)',
    'CREATE TABLE AS without rows': 'create table if not exists stolen as select 1 as a with no data',
    'EXPLAIN ANALYZE of CREATE TABLE AS': 'explain analyze create table stolen as select * from orders',
    'EXPLAIN ANALYZE of CREATE MATERIALIZED VIEW':
      'explain analyze create materialized view stolen as select * from orders',
    'CREATE TABLE': 'create table stolen (a int)',
    'CREATE TABLE LIKE': 'create table stolen (like payment_methods including all)',
  },
  'no rule allows update on public.orders': {
    'EXPLAIN ANALYZE of DML': "explain analyze update orders set status = 'x'",
    'SELECT FOR UPDATE': 'select * from orders for update',
    'COMMIT, then a write': "commit; update orders set status = 'x'",
    'a writable CTE that nobody reads': "with gone as (update orders set status = 'x') select 1",
    'COPY of an UPDATE': "copy (update orders set status = 'x' returning *) to stdout",
    'UPDATE FROM': 'update orders set status = i.sku from order_items i where i.order_id = orders.id',
    'UPDATE ONLY': "update only orders set status = 'x'",
    'UPDATE of a row': "update orders set (customer, status) = (select 'x', 'x')",
    'SELECT FOR SHARE': 'select * from orders for share',
    'SELECT FOR NO KEY UPDATE': 'select * from orders for no key update nowait',
    'SELECT FOR KEY SHARE of one': 'select o.id from orders o, order_items i for key share of o skip locked',
    'SELECT FOR UPDATE in a subquery': 'select * from (select * from orders for update) x',
    'SELECT FOR UPDATE in a CTE': 'with x as (select * from orders for update) select * from x',
    'SELECT FOR UPDATE that is explained': 'explain analyze select * from orders for update',
    'SELECT FOR UPDATE behind a cursor': 'declare c cursor for select * from orders for update',
  },
  'no rule allows do': {
    DO: "do $$ begin update orders set status = 'x'; end $$",
    'DO that leaves its transaction':
      "do $$ begin rollback; set transaction read write; update orders set status = 'x'; end $$",
    'DO in another language': 'do language plpgsql $x$ begin perform 1; end $x$',
  },
  'no rule allows call': {
    CALL: 'call something()',
    'CALL of a procedure by schema': 'call public.something()',
    'CALL with a call': "call something_else(nextval('some_sequence'))",
  },
  'no rule allows copy with a file or a program': {
    'COPY TO PROGRAM': "copy orders to program 'id > /tmp/daypass-was-here'",
    'COPY TO a file': "copy orders to '/tmp/daypass-was-here'",
    'COPY FROM a file': "copy orders from '/etc/passwd'",
    'COPY FROM PROGRAM': "copy orders from program 'cat /etc/passwd'",
  },
  'no rule allows copy-in on public.orders': {
    'COPY FROM STDIN': 'copy orders from stdin',
    'COPY of columns FROM STDIN': 'copy orders (id, status) from stdin with (format binary)',
  },
  'no rule allows load': {
    LOAD: "load 'evil'",
  },
  'no rule allows alter system': {
    'ALTER SYSTEM': 'alter system set fsync = off',
    'ALTER SYSTEM RESET': 'alter system reset all',
  },
  'no rule allows alter role set': {
    'ALTER ROLE': 'alter role current_user set default_transaction_read_only = off',
    'ALTER ROLE ALL': 'alter role all set row_security = off',
    'ALTER ROLE SET search_path': 'alter role current_user set search_path = evil',
  },
  'no rule allows lock': {
    LOCK: 'lock table orders',
    'LOCK ROW SHARE': 'lock orders in row share mode',
    'LOCK ACCESS EXCLUSIVE, NOWAIT': 'lock only orders in access exclusive mode nowait',
  },
  'no rule allows ddl on pg_temp.orders': {
    'CREATE TEMP TABLE': 'create temp table orders (id int)',
  },
  'no rule allows ddl on pg_temp.v': {
    'CREATE TEMP VIEW': 'create temp view v as select * from payment_methods',
  },
  'no rule allows vacuum': {
    'REFRESH, VACUUM': 'vacuum orders',
    'VACUUM FULL': 'vacuum (full, analyze) orders',
    'VACUUM of everything': 'vacuum',
    ANALYZE: 'analyze orders',
  },
  'no rule allows cluster': {
    CLUSTER: 'cluster orders',
    'CLUSTER of everything': 'cluster',
  },
  'no rule allows comment': {
    COMMENT: "comment on table orders is 'x'",
    'COMMENT ON COLUMN': "comment on column orders.id is 'x'",
    'COMMENT ON DATABASE': "comment on database postgres is 'x'",
  },
  'no rule allows truncate': {
    TRUNCATE: 'truncate orders cascade',
  },
  'no rule allows merge on public.orders': {
    MERGE: 'merge into orders using order_items on false when matched then delete',
    'COPY of a MERGE':
      'copy (merge into orders o using order_items i on o.id = i.order_id when matched then delete returning o.id) to stdout',
    'MERGE in a CTE':
      "with m as (merge into orders o using order_items i on o.id = i.order_id when matched then update set status = 'x' returning o.id) select * from m",
    'MERGE that does nothing': 'merge into orders using order_items on true when not matched then do nothing',
    'EXPLAIN ANALYZE of MERGE':
      'explain (analyze) merge into orders using order_items i on id = i.order_id when matched then delete',
  },
  'no rule allows insert on public.orders': {
    'INSERT ON CONFLICT': "insert into orders values (1, 'x', 'x', 1) on conflict do nothing",
    'INSERT SELECT': 'insert into orders select * from orders',
    'INSERT ON CONFLICT DO UPDATE':
      "insert into orders values (1, 'x', 'x', 1) on conflict (id) do update set status = 'x'",
  },
  'no rule allows grant': {
    GRANT: 'grant all on payment_methods to public',
    'GRANT on a function': 'grant execute on function danger(orders) to public',
    REVOKE: 'revoke all on orders from public',
  },
  'no rule allows delete on public.order_items': {
    'a writable CTE beside a granted name': 'with orders as (delete from order_items returning *) select * from orders',
  },
  'no rule allows insert on public.touched': {
    'COPY of an INSERT': 'copy (insert into touched values (1) returning *) to stdout',
    'INSERT DEFAULT VALUES': 'insert into touched default values',
    'INSERT in a CTE of an INSERT':
      'with i as (insert into touched values (1) returning *) insert into touched select * from i',
  },
  'no rule allows insert on public.open_orders': {
    'INSERT into a view': "insert into open_orders values (5000, 'x', 'open', 1)",
  },
  'no rule allows update on public.open_orders': {
    'UPDATE of a view': "update open_orders set status = 'x'",
    'SELECT FOR UPDATE of a view': 'select * from open_orders for update',
  },
  'no rule allows update on pg_catalog.pg_class': {
    'UPDATE of pg_class': "update pg_class set relrowsecurity = false where relname = 'orders'",
  },
  'no rule allows delete on pg_catalog.pg_proc': {
    'DELETE of a system catalog': "delete from pg_proc where proname = 'danger'",
  },
  'no rule allows ddl on pg_temp.stolen': {
    'SELECT INTO TEMP': 'select 1 as a into temp stolen',
  },
  'no rule allows ddl on public.totals': {
    'EXPLAIN ANALYZE of REFRESH': 'explain analyze refresh materialized view totals',
    'REFRESH MATERIALIZED VIEW': 'refresh materialized view totals',
  },
  'no rule allows ddl on public.orders': {
    'CREATE INDEX': 'create index on orders (status)',
    'CREATE INDEX CONCURRENTLY': 'create index concurrently on orders (status)',
    'ALTER TABLE': 'alter table orders add column stolen int',
    'ALTER TABLE RENAME': 'alter table orders rename to stolen',
  },
  'no rule allows ddl on public.order_summary': {
    'CREATE OR REPLACE VIEW':
      'create or replace view order_summary as select card as status, 1::bigint as orders, 1::numeric as amount from payment_methods',
  },
  'no rule allows ddl on public.v': {
    'CREATE RECURSIVE VIEW': 'create recursive view v (a) as select 1',
    'CREATE MATERIALIZED VIEW': 'create materialized view v as select * from payment_methods',
  },
  'no rule allows create function': {
    'CREATE FUNCTION': "create function public.lower(text) returns text language sql as 'select $1'",
    'CREATE OR REPLACE FUNCTION':
      "create or replace function danger(orders) returns text language sql as 'select $1.status'",
    'CREATE PROCEDURE': "create procedure evil.p() language sql as 'delete from public.orders'",
  },
  'no rule allows create trig': {
    'CREATE TRIGGER': 'create trigger again before update on orders for each row execute function evil.touch()',
  },
  'no rule allows rule': {
    'CREATE RULE': 'create rule r as on insert to touched do also delete from orders',
  },
  'no rule allows create policy': {
    'CREATE POLICY': 'create policy everybody on orders using (true)',
  },
  'no rule allows create seq': {
    'CREATE SEQUENCE': 'create sequence stolen',
  },
  'no rule allows composite type': {
    'CREATE TYPE': 'create type stolen as (a int)',
  },
  'no rule allows create domain': {
    'CREATE DOMAIN': 'create domain stolen as int',
  },
  'no rule allows define': {
    'CREATE OPERATOR': 'create operator public.+ (leftarg = int, rightarg = int, function = evil.plus)',
    'CREATE AGGREGATE': 'create aggregate stolen (int) (sfunc = int4pl, stype = int)',
    'CREATE COLLATION': 'create collation stolen from "C"',
    'CREATE TEXT SEARCH CONFIGURATION': 'create text search configuration stolen (copy = pg_catalog.english)',
  },
  'no rule allows create cast': {
    'CREATE CAST': 'create cast (evil.typ as int) with inout as implicit',
  },
  'no rule allows create conversion': {
    'CREATE CONVERSION': "create conversion stolen for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1",
  },
  'no rule allows create stats': {
    'CREATE STATISTICS': 'create statistics stolen on status, customer from orders',
  },
  'no rule allows create schema': {
    'CREATE SCHEMA': 'create schema stolen create table t (a int)',
  },
  'no rule allows create extension': {
    'CREATE EXTENSION': 'create extension hstore',
    'CREATE LANGUAGE': 'create or replace trusted language plpgsql',
  },
  'no rule allows create transform': {
    'CREATE TRANSFORM': 'create transform for int language sql (from sql with function prsd_lextype(internal))',
  },
  'no rule allows create am': {
    'CREATE ACCESS METHOD': 'create access method stolen type table handler heap_tableam_handler',
  },
  'no rule allows create event trig': {
    'CREATE EVENT TRIGGER': 'create event trigger stolen on ddl_command_start execute function evil.ddl()',
  },
  'no rule allows create role': {
    'CREATE ROLE': 'create role stolen superuser login',
  },
  'no rule allows createdb': {
    'CREATE DATABASE': 'create database stolen',
  },
  'no rule allows create table space': {
    'CREATE TABLESPACE': "create tablespace stolen location '/tmp'",
  },
  'no rule allows create fdw': {
    'CREATE FOREIGN DATA WRAPPER': 'create foreign data wrapper stolen',
  },
  'no rule allows create foreign server': {
    'CREATE SERVER': 'create server stolen foreign data wrapper wrapper',
  },
  'no rule allows create user mapping': {
    'CREATE USER MAPPING': 'create user mapping for public server elsewhere',
  },
  'no rule allows create foreign table': {
    'CREATE FOREIGN TABLE': 'create foreign table stolen (a int) server elsewhere',
  },
  'no rule allows import foreign schema': {
    'IMPORT FOREIGN SCHEMA': 'import foreign schema public from server elsewhere into public',
  },
  'no rule allows create publication': {
    'CREATE PUBLICATION': 'create publication stolen for all tables',
  },
  'no rule allows create subscription': {
    'CREATE SUBSCRIPTION':
      "create subscription stolen connection 'host=127.0.0.1' publication p with (connect = false, slot_name = none)",
  },
  'no rule allows alter table': {
    'ALTER TABLE DISABLE TRIGGER': 'alter table orders disable trigger all',
    'ALTER TABLE OWNER': 'alter table orders owner to evil_role',
    'ALTER TABLE ROW LEVEL SECURITY': 'alter table orders enable row level security',
    'ALTER VIEW': 'alter view order_summary set (security_invoker = true)',
  },
  'no rule allows alter object schema': {
    'ALTER TABLE SET SCHEMA': 'alter table orders set schema evil',
  },
  'no rule allows alter table move all': {
    'ALTER TABLE ALL IN TABLESPACE': 'alter table all in tablespace pg_default set tablespace pg_default',
  },
  'no rule allows alter function': {
    'ALTER FUNCTION': 'alter function danger(orders) security definer',
  },
  'no rule allows alter seq': {
    'ALTER SEQUENCE': 'alter sequence some_sequence restart with 7',
  },
  'no rule allows alter enum': {
    'ALTER TYPE': "alter type state add value 'stolen'",
  },
  'no rule allows alter default privileges': {
    'ALTER DEFAULT PRIVILEGES': 'alter default privileges in schema public grant all on tables to public',
  },
  'no rule allows alter database set': {
    'ALTER DATABASE': "alter database postgres set work_mem = '1MB'",
  },
  'no rule allows alter role': {
    'ALTER ROLE of another': 'alter role evil_role superuser',
  },
  'no rule allows alter publication': {
    'ALTER PUBLICATION': 'alter publication news add table payment_methods',
  },
  'no rule allows alter subscription': {
    'ALTER SUBSCRIPTION': 'alter subscription feed disable',
  },
  'no rule allows alter owner': {
    'ALTER LARGE OBJECT': 'alter large object 4711 owner to evil_role',
  },
  'no rule allows alter foreign server': {
    'ALTER SERVER': "alter server elsewhere options (add host 'x')",
  },
  'no rule allows alter extension': {
    'ALTER EXTENSION': 'alter extension plpgsql update',
  },
  'no rule allows alter policy': {
    'ALTER POLICY': 'alter policy own on payment_methods using (true)',
  },
  'no rule allows alter event trig': {
    'ALTER EVENT TRIGGER': 'alter event trigger watcher disable',
  },
  'no rule allows drop': {
    'DROP TABLE': 'drop table orders cascade',
    'DROP SCHEMA': 'drop schema public cascade',
    'DROP FUNCTION': 'drop function danger(orders)',
    'DROP PUBLICATION': 'drop publication news',
  },
  'no rule allows dropdb': {
    'DROP DATABASE': 'drop database postgres with (force)',
  },
  'no rule allows drop role': {
    'DROP ROLE': 'drop role evil_role',
  },
  'no rule allows drop owned': {
    'DROP OWNED': 'drop owned by evil_role',
  },
  'no rule allows reassign owned': {
    'REASSIGN OWNED': 'reassign owned by current_user to evil_role',
  },
  'no rule allows grant role': {
    'GRANT of a role': 'grant pg_read_all_data to evil_role',
  },
  'no rule allows sec label': {
    'SECURITY LABEL': "security label on table orders is 'x'",
  },
  'no rule allows reindex': {
    'REINDEX TABLE': 'reindex table orders',
    'REINDEX SYSTEM': 'reindex (verbose) system',
  },
  'no rule allows check point': {
    CHECKPOINT: 'checkpoint',
  },
  'no rule allows ddl on public.touched': {
    'TRUNCATE RESTART IDENTITY': 'truncate touched restart identity',
  },
};
