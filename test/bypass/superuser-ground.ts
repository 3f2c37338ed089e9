/** A database whose account may do anything, behind a role that may only read: what the gateway lets through, happens. */
import type pg from 'pg';
import type { Test } from 'tap';
import { type Orders, ordersDatabase } from '../postgres/fixture.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { connected, sharedPostgres, startPostgres } from '../support/postgres.js';

/** Nothing but an attack changes anything there. */
const QUIET = { autovacuum: 'off', max_prepared_transactions: '4', checkpoint_timeout: '1h' };

/** One thing of each kind that an attack may be about. */
const TARGETS = `
  create table touched (id int, what text);
  create sequence some_sequence;
  create materialized view totals as select count(*) as n from orders;
  create view open_orders as select * from orders where status = 'open';
  create view sneaky as select card from payment_methods;
  create type state as enum ('open', 'paid');
  create function danger(orders) returns text language sql as $$ insert into touched values (1, 'danger') returning what $$;
  create procedure something() language sql as $$ update orders set status = 'called' $$;
  create procedure something_else(bigint) language sql as $$ update orders set status = 'called' $$;
  create policy own on payment_methods using (false);
  create publication news for table orders;
  create foreign data wrapper wrapper;
  create server elsewhere foreign data wrapper wrapper;
  select lo_create(4711);
  create schema evil;
  create table evil.orders (id int, customer text);
  create function evil.plus(int, int) returns int language sql as $$ insert into public.touched values (1, 'plus') returning id $$;
  create function evil.minus(int) returns int language sql as $$ insert into public.touched values (1, 'minus') returning id $$;
  create function evil.less(int, int) returns boolean language sql as $$ insert into public.touched values (1, 'less') returning true $$;
  create function evil.check_it(text) returns boolean language sql as $$ insert into public.touched values (1, 'domain') returning true $$;
  create function evil.dblink(text) returns text language plpgsql as $$ begin execute $1; return 'done'; end $$;
  create function evil.touch() returns trigger language plpgsql as $$ begin return new; end $$;
  create function evil.ddl() returns event_trigger language plpgsql as $$ begin end $$;
  create operator evil.+ (leftarg = int, rightarg = int, function = evil.plus);
  create operator evil.- (rightarg = int, function = evil.minus);
  create operator evil.< (leftarg = int, rightarg = int, function = evil.less);
  create aggregate evil.total (int) (sfunc = evil.plus, stype = int);
  create domain evil.typ as text check (evil.check_it(value));
  create collation evil.c from "C";
  create trigger watched before update on orders for each row execute function evil.touch();
  create event trigger watcher on sql_drop execute function evil.ddl();
  create subscription feed connection 'host=127.0.0.1' publication p with (connect = false, slot_name = none);
  create role evil_role;
  begin; insert into touched values (1, 'prepared'); prepare transaction 'waiting'`;

export interface SuperuserGround extends TestGateway {
  readonly orders: Orders;
  /** Another one when anything in the database or its server has changed, even if it was undone. */
  fingerprint(): Promise<string>;
}

/** Starts the server, the database and the gateway in front of it. The ledger is elsewhere, since it writes. */
export async function superuserGround(t: Test): Promise<SuperuserGround> {
  const server = await startPostgres(t, { settings: () => QUIET });
  const orders = await ordersDatabase(t, server);
  for (const text of TARGETS.split(';\n')) await orders.database.query(text);
  const gateway = await startGateway(t, {
    services: { 'orders-db': orders.policy().replace(/user: reader_\w+/, `user: ${server.user}`) },
    env: { ...orders.env, READER_PASSWORD: server.password },
    ledgerServer: await sharedPostgres(),
  });
  const client = await connected(t, server.config(orders.database.name));
  return { ...gateway, orders, fingerprint: await fingerprinter(client) };
}

/** Made once and planned once: it is asked for after every attack. */
async function fingerprinter(client: pg.Client): Promise<() => Promise<string>> {
  const { rows } = await client.query<{ name: string; kind: string; whole: boolean }>(RELATIONS);
  const sums = rows.map(({ name, kind, whole }) =>
    kind === 'S' ? `(select row(r.*)::text from ${name} r)` : `(select row(${rowsOf(whole)})::text from ${name} r)`,
  );
  const text = `select md5(concat_ws(',', ${[...sums, ...OTHERWISE].join(', ')})) as print`;
  await client.query(
    'set plan_cache_mode = force_generic_plan; set jit = off; set max_parallel_workers_per_gather = 0',
  );
  return async () => (await client.query<{ print: string }>({ name: 'fingerprint', text })).rows[0]?.print ?? '';
}

/**
 * Rows by where they stand and by the transactions that made, locked or ended them: that also shows what was undone.
 * @param whole - their contents too: what may change in place, and what matters most
 */
function rowsOf(whole: boolean): string {
  const places = 'count(*), sum(hash_record_extended(row(ctid, xmin, xmax), 0))';
  return whole ? `${places}, sum(hashtextextended(r::text, 0))` : places;
}

/** Every table, catalogs included, every sequence and materialized view. */
const RELATIONS = `
  select oid::regclass::text as name, relkind as kind, oid >= 16384 or relname in ('pg_authid', 'pg_auth_members',
    'pg_database', 'pg_db_role_setting', 'pg_default_acl', 'pg_largeobject', 'pg_largeobject_metadata', 'pg_policy',
    'pg_trigger', 'pg_extension', 'pg_foreign_server', 'pg_subscription', 'pg_publication', 'pg_namespace') as whole
    from pg_class
   where relkind in ('r', 'm', 'S') and relnamespace <> 'information_schema'::regnamespace
   order by oid`;

/** What is no table. The next transaction's number comes first: whatever writes takes one. */
const OTHERWISE = [
  'pg_snapshot_xmax(pg_current_snapshot())',
  '(select string_agg(x::text, $$,$$ order by gid) from pg_prepared_xacts x)',
  '(select string_agg(row(locktype, objid, mode, relation)::text, $$,$$ order by relation, mode) from pg_locks where locktype = $$advisory$$ or mode <> $$AccessShareLock$$ and locktype = $$relation$$ and pid <> pg_backend_pid())',
  '(select string_agg(slot_name, $$,$$) from pg_replication_slots)',
  '(select string_agg(row(name, setting)::text, $$,$$) from pg_file_settings)',
  'pg_conf_load_time()',
  'pg_is_in_recovery()',
  '(select stats_reset from pg_stat_wal)',
  '(select stats_reset from pg_stat_database where datname = current_database())',
  'pg_walfile_name(pg_current_wal_lsn())',
  '(select string_agg(f, $$,$$ order by f) from pg_ls_dir(current_setting($$data_directory$$)) f)',
];
