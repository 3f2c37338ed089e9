import type { Attacks } from './table.js';

/** Functions that write, lock, signal, read files or run texts, wherever an expression may stand. */
export const CALLS: Attacks = {
  'no rule allows calling pg_catalog.set_config': {
    'set_config()': "select set_config('default_transaction_read_only', 'off', false)",
    'set_config() in a FROM': "select * from set_config('role', 'postgres', false)",
    'set_config() of a column': "select set_config(status, 'x', false) from orders limit 1",
    'a unicode identifier of a function': "select U&\"set\\005Fconfig\"('role', 'postgres', false)",
    'RETURNING a call': "delete from orders returning set_config('role', 'postgres', false)",
    'a call in AT TIME ZONE': "select now() at time zone set_config('role', 'postgres', false)",
    'a call in COLLATE': "select set_config('role', 'postgres', false) collate \"C\"",
    'a call in XMLTABLE':
      "select * from xmltable('/a' passing (set_config('role', 'postgres', false)::xml) columns b int)",
    'a call by its schema': "select pg_catalog.set_config('role', 'postgres', false)",
    'a call in capitals': "SELECT PG_CATALOG.SET_CONFIG('role', 'postgres', false)",
    'a quoted call': 'select "pg_catalog"."set_config"(\'role\', \'postgres\', false)',
    'a call with a comment in it': "select set_config/* */-- x\n('role', 'postgres', false)",
    'a call with named arguments':
      "select set_config(setting_name => 'role', new_value => 'postgres', is_local => false)",
    'set_config() of a search path': "select set_config('search_path', 'evil', false)",
    'set_config() of a search path that is nothing but blank': "select set_config('search_path', ' ', false)",
    'set_config() of an empty search path by more than a constant': "select set_config('search_path', ''::text, false)",
    'set_config() of nothing': "select set_config('search_path', null, false)",
    'set_config() for nobody knows how long': "select set_config('search_path', '', null)",
    'set_config() of what a query says': "select set_config('search_path', (select status from orders limit 1), false)",
    'set_config() of a list': "select set_config('search_path', 'public, evil', false)",
    'set_config() of who it is, by a query': "select set_config('role', (select status from orders limit 1), false)",
    'set_config() of what must be one value, by a query':
      "select set_config('standard_conforming_strings', (select status from orders limit 1), false)",
    'set_config() of a wall, by a query':
      "select set_config('default_transaction_read_only', (select status from orders limit 1), false)",
    'set_config() of any value beside the one word for it':
      "select set_config('search_path', null, false), set_config('search_path', 'public', false)",
    'set_config() with FILTER': "select set_config('search_path', '', false) filter (where true)",
    'set_config() of VARIADIC': "select set_config('search_path', '', variadic false)",
    'set_config() beside an allowed one':
      "select set_config('search_path', '', false), set_config('search_path', 'evil', false)",
    'set_config() of a setting of pg_settings':
      "select set_config(name, '', false) from pg_settings where name = 'role'",
    'set_config() of settings of pg_settings':
      "select set_config(name, '', false) from pg_settings where name = 'search_path' or true",
    'set_config() of other settings': "select set_config(name, '', false) from pg_settings where name <> 'search_path'",
    'set_config() of a column that is called name':
      "select set_config(name, '', false) from pg_settings as s (a, name) where name = 'search_path'",
    'set_config() of the name beside pg_settings':
      "select set_config(name, '', false) from pg_settings join (select 1) as x on true where name = 'search_path'",
    'set_config() of a name in a subquery':
      "select (select set_config(name, '', false) from pg_roles as s (name) limit 1) from pg_settings where name = 'search_path'",
    'set_config() of what a function is called':
      "select set_config(name, '', false) from (select 'role' as name) as pg_settings where name = 'search_path'",
    'set_config() that lifts a restriction': "select set_config('restrict_nonsystem_relation_kind', '', false)",
    'a unicode identifier with UESCAPE': "select U&\"set!005Fconfig\" uescape '!' ('role', 'postgres', false)",
  },
  'no rule allows calling public.cancel_everything': {
    'a security-definer function': 'select cancel_everything(o) from orders o limit 1',
  },
  'no rule allows calling pg_catalog.pg_notify': {
    'pg_notify()': "select pg_notify('channel', 'x')",
  },
  'no rule allows calling public.dblink': {
    dblink: "select * from dblink('host=127.0.0.1', 'select 1') as x(y int)",
  },
  'no rule allows calling pg_catalog.lo_create': {
    lo_create: 'select lo_create(0)',
  },
  'no rule allows calling pg_catalog.lo_import': {
    lo_import: "select lo_import('/etc/passwd')",
  },
  'no rule allows calling pg_catalog.lo_from_bytea': {
    lo_from_bytea: "select lo_from_bytea(0, 'x')",
  },
  'no rule allows calling pg_catalog.pg_read_file': {
    pg_read_file: "select pg_read_file('/etc/passwd')",
    'an attribute that reads a file': "select ('/etc/passwd'::text).pg_read_file",
  },
  'no rule allows calling pg_catalog.pg_ls_dir': {
    pg_ls_dir: "select pg_ls_dir('/')",
  },
  'no rule allows calling pg_catalog.pg_stat_file': {
    pg_stat_file: "select pg_stat_file('/')",
  },
  'no rule allows calling pg_catalog.pg_terminate_backend': {
    pg_terminate_backend: 'select pg_terminate_backend(pid) from pg_stat_activity',
  },
  'no rule allows calling pg_catalog.pg_cancel_backend': {
    pg_cancel_backend: 'select pg_cancel_backend(1)',
  },
  'no rule allows calling pg_catalog.pg_reload_conf': {
    pg_reload_conf: 'select pg_reload_conf()',
  },
  'no rule allows calling pg_catalog.pg_advisory_lock': {
    'an advisory lock': 'select pg_advisory_lock(1)',
  },
  'no rule allows calling pg_catalog.txid_current': { txid_current: 'select txid_current()' },
  'no rule allows calling pg_catalog.pg_current_xact_id': { pg_current_xact_id: 'select pg_current_xact_id()' },
  'no rule allows calling pg_catalog.nextval': {
    nextval: "select nextval('some_sequence')",
    'EXPLAIN ANALYZE of a call': "explain (analyze, format json) select nextval('some_sequence')",
    'EXECUTE with a call': "execute kept (nextval('some_sequence'))",
    'DECLARE WITH HOLD over a call': "declare w cursor with hold for select nextval('some_sequence')",
    'a call in ORDER BY': "select id from orders order by nextval('some_sequence')",
    'a call in GROUP BY': "select count(*) from orders group by nextval('some_sequence')",
    'a call in GROUPING SETS': "select 1 from orders group by grouping sets ((id), (nextval('some_sequence')))",
    'a call in HAVING': "select count(*) from orders having nextval('some_sequence') > 0",
    'a call in a WINDOW': "select count(*) over w from orders window w as (partition by nextval('some_sequence'))",
    'a call in a frame': "select count(*) over (rows nextval('some_sequence') preceding) from orders",
    'a call in FILTER': "select count(*) filter (where nextval('some_sequence') > 0) from orders",
    'a call in LIMIT': "select id from orders limit nextval('some_sequence')",
    'a call in OFFSET': "select id from orders offset nextval('some_sequence')",
    'a call in FETCH FIRST': "select id from orders order by id fetch first (nextval('some_sequence')) rows with ties",
    'a call in DISTINCT ON': "select distinct on (nextval('some_sequence')) id from orders",
    'a call in JOIN ON': "select 1 from orders o join order_items i on nextval('some_sequence') > 0",
    'a call in LATERAL': "select * from orders o, lateral nextval('some_sequence') n",
    'a call in ROWS FROM': "select * from rows from (generate_series(1, 2), nextval('some_sequence')) with ordinality",
    'a call in VALUES': "values (1), (nextval('some_sequence'))",
    'a call in VALUES of a FROM': "select * from (values (nextval('some_sequence'))) v",
    'a call in CASE': "select case when true then nextval('some_sequence') end",
    'a call in COALESCE': "select coalesce(null, nextval('some_sequence'))",
    'a call in GREATEST': "select greatest(1, nextval('some_sequence'))",
    'a call in NULLIF': "select nullif(nextval('some_sequence'), 1)",
    'a call in ARRAY': "select array[1, nextval('some_sequence')]",
    'a call in a subscript': "select (array[1, 2])[nextval('some_sequence')]",
    'a call in a slice': "select (array[1, 2])[1:nextval('some_sequence')]",
    'a call in ROW': "select row(1, nextval('some_sequence'))",
    'a call in IN': "select 1 where 1 in (2, nextval('some_sequence'))",
    'a call in ANY': "select 1 where 1 = any (array[nextval('some_sequence')])",
    'a call in BETWEEN': "select 1 where 1 between 0 and nextval('some_sequence')",
    'a call in IS DISTINCT FROM': "select nextval('some_sequence') is distinct from 1",
    'a call in a cast': "select nextval('some_sequence')::text",
    'a call in EXISTS': "select exists (select nextval('some_sequence'))",
    'a call in ARRAY of a query': "select array(select nextval('some_sequence'))",
    'a call in a CTE': "with n as materialized (select nextval('some_sequence')) select * from n",
    'a call in SEARCH':
      "with recursive r(a) as (select 1 union select a + 1 from r where a < nextval('some_sequence')) select * from r",
    'a call in a UNION': "select 1 union all select nextval('some_sequence')",
    'a call in an argument': "select abs(nextval('some_sequence'))",
    'a call in a named argument': "select make_interval(days => nextval('some_sequence')::int)",
    'a call in VARIADIC': "select concat(variadic array[nextval('some_sequence')::text])",
    'a call in WITHIN GROUP':
      "select percentile_disc(0.5) within group (order by nextval('some_sequence')) from orders",
    'a call in an aggregate that orders': "select array_agg(id order by nextval('some_sequence')) from orders",
    'a call in TABLESAMPLE': "select * from orders tablesample system (nextval('some_sequence'))",
    'a call in REPEATABLE': "select * from orders tablesample system (10) repeatable (nextval('some_sequence'))",
    'a call in XMLELEMENT': "select xmlelement(name a, xmlattributes(nextval('some_sequence') as b))",
    'a call in XMLFOREST': "select xmlforest(nextval('some_sequence') as a)",
    'a call in a default of XMLTABLE':
      "select * from xmltable('/a' passing ('<a/>'::xml) columns b int default nextval('some_sequence'))",
    'a call in JSON_TABLE':
      "select * from json_table(jsonb '[1]', '$[*]' passing nextval('some_sequence') as n columns (a int path '$'))",
    'a call in a default of JSON_TABLE':
      "select * from json_table(jsonb '[1]', '$[*]' columns (a int path '$' default nextval('some_sequence') on empty))",
    'a call in JSON_VALUE': "select json_value(jsonb '1', '$' default nextval('some_sequence') on error)",
    'a call in JSON_OBJECT': "select json_object('a': nextval('some_sequence'))",
    'a call in JSON_ARRAYAGG': "select json_arrayagg(nextval('some_sequence') order by 1) from orders",
    'a call in COPY': "copy (select nextval('some_sequence')) to stdout",
    'a call that is prepared': "prepare w as select nextval('some_sequence')",
    'a unicode identifier of six digits': 'select U&"nextva\\+00006C"(\'some_sequence\')',
    'an attribute that calls': "select ('some_sequence'::regclass).nextval",
  },
  'no rule allows calling pg_catalog.query_to_xml': {
    query_to_xml: "select query_to_xml('delete from orders', true, true, '')",
  },
  'no rule allows calling pg_catalog.ts_stat': {
    ts_stat: "select * from ts_stat('select 1')",
  },
  'no rule allows calling pg_catalog.database_to_xml': {
    database_to_xml: "select database_to_xml(true, true, '')",
  },
  'no rule allows calling public.danger': {
    'CREATE INDEX with a call': 'create index on orders (danger(orders))',
  },
  'no rule allows calling pg_catalog.pg_logical_emit_message': {
    'pg_logical_emit_message()': "select pg_logical_emit_message(true, 'a', 'b')",
    'pg_logical_emit_message() at once': "select pg_logical_emit_message(false, 'a', 'b', true)",
  },
  'no rule allows calling pg_catalog.setval': {
    'setval()': "select setval('some_sequence', 42)",
    'setval() of three': "select setval('some_sequence', 42, false)",
  },
  'no rule allows calling pg_catalog.pg_advisory_xact_lock': {
    'pg_advisory_xact_lock()': 'select pg_advisory_xact_lock(1, 2)',
  },
  'no rule allows calling pg_catalog.pg_advisory_lock_shared': {
    'pg_advisory_lock_shared()': 'select pg_advisory_lock_shared(1)',
  },
  'no rule allows calling pg_catalog.pg_try_advisory_lock': {
    'pg_try_advisory_lock()': 'select pg_try_advisory_lock(1)',
  },
  'no rule allows calling pg_catalog.pg_try_advisory_xact_lock_shared': {
    'pg_try_advisory_xact_lock_shared()': 'select pg_try_advisory_xact_lock_shared(1)',
  },
  'no rule allows calling pg_catalog.lo_creat': {
    'lo_creat()': 'select lo_creat(-1)',
  },
  'no rule allows calling pg_catalog.lo_open': {
    'lo_open()': 'select lo_open(4711, 131072)',
  },
  'no rule allows calling pg_catalog.lo_get': {
    'lo_get()': 'select lo_get(4711)',
  },
  'no rule allows calling pg_catalog.lo_put': {
    'lo_put()': "select lo_put(4711, 0, 'x')",
  },
  'no rule allows calling pg_catalog.lo_unlink': {
    'lo_unlink()': 'select lo_unlink(4711)',
  },
  'no rule allows calling pg_catalog.lo_export': {
    'lo_export()': "select lo_export(4711, '/tmp/daypass-was-here')",
  },
  'no rule allows calling pg_catalog.lowrite': {
    'lowrite()': "select lowrite(0, 'x')",
  },
  'no rule allows calling pg_catalog.loread': {
    'loread()': 'select loread(0, 10)',
  },
  'no rule allows calling pg_catalog.lo_truncate64': {
    'lo_truncate()': 'select lo_truncate64(0, 0)',
  },
  'no rule allows calling pg_catalog.query_to_xmlschema': {
    'query_to_xmlschema()': "select query_to_xmlschema('select 1', true, true, '')",
  },
  'no rule allows calling pg_catalog.query_to_xml_and_xmlschema': {
    'query_to_xml_and_xmlschema()':
      "select query_to_xml_and_xmlschema('delete from orders returning 1', true, true, '')",
  },
  'no rule allows calling pg_catalog.table_to_xml': {
    'table_to_xml()': "select table_to_xml('payment_methods', true, true, '')",
  },
  'no rule allows calling pg_catalog.schema_to_xml': {
    'schema_to_xml()': "select schema_to_xml('public', true, true, '')",
  },
  'no rule allows calling pg_catalog.cursor_to_xml': {
    'cursor_to_xml()': "select cursor_to_xml('c', 1, true, true, '')",
  },
  'no rule allows calling pg_catalog.ts_rewrite': {
    'ts_rewrite()': "select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery')",
  },
  'no rule allows calling pg_catalog.pg_read_binary_file': {
    'pg_read_binary_file()': "select pg_read_binary_file('/etc/passwd')",
  },
  'no rule allows calling pg_catalog.pg_ls_waldir': {
    'pg_ls_waldir()': 'select * from pg_ls_waldir()',
  },
  'no rule allows calling pg_catalog.pg_ls_tmpdir': {
    'pg_ls_tmpdir()': 'select pg_ls_tmpdir()',
  },
  'no rule allows calling pg_catalog.pg_current_logfile': {
    'pg_current_logfile()': 'select pg_current_logfile()',
  },
  'no rule allows calling pg_catalog.pg_rotate_logfile': {
    'pg_rotate_logfile()': 'select pg_rotate_logfile()',
  },
  'no rule allows calling pg_catalog.pg_promote': {
    'pg_promote()': 'select pg_promote(false)',
  },
  'no rule allows calling pg_catalog.pg_switch_wal': {
    'pg_switch_wal()': 'select pg_switch_wal()',
  },
  'no rule allows calling pg_catalog.pg_create_restore_point': {
    'pg_create_restore_point()': "select pg_create_restore_point('x')",
  },
  'no rule allows calling pg_catalog.pg_backup_start': {
    'pg_backup_start()': "select pg_backup_start('x')",
  },
  'no rule allows calling pg_catalog.pg_create_physical_replication_slot': {
    'pg_create_physical_replication_slot()': "select pg_create_physical_replication_slot('stolen')",
  },
  'no rule allows calling pg_catalog.pg_create_logical_replication_slot': {
    'pg_create_logical_replication_slot()': "select pg_create_logical_replication_slot('stolen', 'pgoutput')",
  },
  'no rule allows calling pg_catalog.pg_replication_origin_create': {
    'pg_replication_origin_create()': "select pg_replication_origin_create('stolen')",
  },
  'no rule allows calling pg_catalog.pg_export_snapshot': {
    'pg_export_snapshot()': 'select pg_export_snapshot()',
  },
  'no rule allows calling pg_catalog.pg_stat_reset': {
    'pg_stat_reset()': 'select pg_stat_reset()',
  },
  'no rule allows calling pg_catalog.pg_stat_reset_shared': {
    'pg_stat_reset_shared()': "select pg_stat_reset_shared('wal')",
  },
  'no rule allows calling pg_catalog.pg_import_system_collations': {
    'pg_import_system_collations()': "select pg_import_system_collations('public')",
  },
  'no rule allows calling pg_catalog.pg_log_backend_memory_contexts': {
    'pg_log_backend_memory_contexts()': 'select pg_log_backend_memory_contexts(pg_backend_pid())',
  },
  'no rule allows calling pg_catalog.pg_clear_relation_stats': {
    'pg_clear_relation_stats()': "select pg_clear_relation_stats('public', 'orders')",
  },
  'no rule allows calling pg_catalog.pg_nextoid': {
    'pg_nextoid()': "select pg_nextoid('pg_class', 'oid', 'pg_class_oid_index')",
  },
  'no rule allows calling pg_catalog.pg_extension_config_dump': {
    'pg_extension_config_dump()': "select pg_extension_config_dump('orders', '')",
  },
  'no rule allows calling pg_catalog.brin_summarize_new_values': {
    'brin_summarize_new_values()': "select brin_summarize_new_values('orders_pkey')",
  },
  'no rule allows calling pg_catalog.gin_clean_pending_list': {
    'gin_clean_pending_list()': "select gin_clean_pending_list('orders_pkey')",
  },
  'no rule allows calling pg_catalog.pg_hba_file_rules': {
    'pg_hba_file_rules()': 'select * from pg_hba_file_rules()',
  },
  'no rule allows calling pg_catalog.pg_show_all_file_settings': {
    'pg_show_all_file_settings()': 'select * from pg_show_all_file_settings()',
  },
  'no rule allows calling pg_catalog.pg_get_shmem_allocations': {
    'pg_get_shmem_allocations()': 'select * from pg_get_shmem_allocations()',
  },
  'no rule allows calling pg_catalog.pg_stat_get_activity': {
    'pg_stat_get_activity()': 'select * from pg_stat_get_activity(null)',
  },
  'no rule allows calling pg_catalog.pg_lock_status': {
    'pg_lock_status()': 'select * from pg_lock_status()',
  },
  'no rule allows calling public.dblink_exec': {
    'dblink_exec()': "select dblink_exec('host=127.0.0.1', 'delete from orders')",
  },
  'no rule allows calling public.dblink_connect': {
    'dblink_connect()': "select dblink_connect('host=127.0.0.1')",
  },
  'no rule allows calling evil.dblink': {
    'evil.dblink()': "select evil.dblink('delete from orders')",
  },
  'no rule allows calling evil.touch': {
    'a trigger function': 'select evil.touch()',
  },
  'no rule allows calling evil.total': {
    'an aggregate of another schema': 'select evil.total(id) from orders',
    'a window function of another schema': 'select evil.total(id) over () from orders',
  },
};
