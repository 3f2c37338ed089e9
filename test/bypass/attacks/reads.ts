import type { Attacks } from './table.js';

/** Rows that are not granted. */
export const READS: Attacks = {
  'no rule allows select on public.payment_methods': {
    'LOCK of a table that is not granted': 'lock payment_methods in access share mode',
    'LOCK of a table that is not granted, behind one that is':
      'begin; lock table orders, only public.payment_methods in access share mode',
    'a table that is not granted': 'select * from payment_methods',
    'a table that is not granted, in a subquery': 'select (select card from payment_methods limit 1) from orders',
    'a table that is not granted, in a CTE with a granted name':
      'with orders as (select * from payment_methods) select * from orders',
    'a table that is not granted, in a JOIN USING': 'select * from orders natural join payment_methods',
    'a table that is not granted, by TABLE': 'table payment_methods',
    'a table that is not granted, by regclass': "select 'payment_methods'::regclass::oid, * from payment_methods",
    'a unicode identifier of a table': 'select * from U&"payment\\005Fmethods"',
    'a table that is not granted, in EXISTS': 'select 1 where exists (select from payment_methods)',
    'a table that is not granted, in LATERAL':
      'select * from orders o, lateral (select * from payment_methods p where p.order_id = o.id) x',
    'a table that is not granted, in ONLY': 'select * from only payment_methods',
    'a table that is not granted, in a UNION': 'select customer from orders union select card from payment_methods',
    'a table that is not granted, under an alias': 'select orders.* from payment_methods as orders',
    'a table that is not granted, in a cursor': 'declare c cursor for select * from payment_methods',
    'a table that is not granted, that is prepared': 'prepare w as select * from payment_methods',
    'a table that is not granted, by its row': 'select p from payment_methods p',
    'a table that is not granted, in a recursive WITH':
      'with recursive r as (select card from payment_methods union select card from r) select * from r',
    'a table that is not granted, in LIMIT': 'select 1 limit (select count(*) from payment_methods)',
  },
  'no rule allows select on pg_catalog.pg_authid': {
    'the passwords of roles': 'select * from pg_authid',
  },
  'no rule allows select on pg_catalog.pg_stat_activity': {
    'what others are running': 'select query from pg_stat_activity',
  },
  'no rule allows select on pg_catalog.pg_statistic': {
    'statistics of columns': 'select * from pg_statistic',
  },
  'no rule allows explain on public.payment_methods': {
    'EXPLAIN of a table that is not granted': 'explain select * from payment_methods',
  },
  'no rule allows select on evil.orders': {
    'a shadow of a table': 'select * from evil.orders',
  },
  'no rule allows select on public.sneaky': {
    'a view over a table that is not granted': 'select * from sneaky',
  },
  'no rule allows select on public.totals': {
    'a materialized view that is not granted': 'table totals',
  },
  'no rule allows copy-out on public.payment_methods': {
    'a table that is not granted, that is copied': 'copy payment_methods (card) to stdout',
  },
  'no rule allows select on public.some_sequence': {
    'a sequence as a table': 'select * from some_sequence',
  },
  'no rule allows select on pg_temp.orders': {
    'the temporary shadow of a table': 'select * from pg_temp.orders',
  },
  'no rule allows select on pg_toast.pg_toast_1255': {
    'a toast table': 'select * from pg_toast.pg_toast_1255',
  },
  'no rule allows select on pg_catalog.pg_shadow': {
    'the password file of roles': 'select * from pg_shadow',
  },
  'no rule allows select on pg_catalog.pg_user_mappings': {
    'what user mappings hold': 'select * from pg_user_mappings',
  },
  'no rule allows select on information_schema.user_mapping_options': {
    'what user mappings hold, by information_schema': 'select * from information_schema.user_mapping_options',
  },
  'no rule allows select on pg_catalog.pg_largeobject': {
    'the pages of large objects': 'select * from pg_largeobject',
  },
  'no rule allows select on pg_catalog.pg_subscription': {
    'a connection string': 'select subconninfo from pg_subscription',
    'a connection string in a count': "select count(*) from pg_subscription where subconninfo like '%x%'",
    'a connection string, qualified': 'select count(s.subconninfo) from pg_catalog.pg_subscription s',
    'a connection string among all': 'select * from pg_subscription',
    'a connection string in a row': 'select pg_subscription::text from pg_subscription',
    'a connection string in a row, as a function': 'select row_to_json(s) from pg_subscription s',
    'a connection string by another name':
      'select c from pg_subscription s (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o)',
    'a connection string from outside':
      'select (select subconninfo from pg_database limit 1) from pg_subscription where subdbid = 1',
    'a connection string by what is compared': 'select 1 from pg_subscription natural join (select 1 as subconninfo) x',
    'a connection string by a table of it': 'table pg_subscription',
    'a connection string by ORDER BY': 'select oid from pg_subscription order by subconninfo',
    'a function of the whole row': 'select s.row_to_json from pg_subscription s',
    'the connection strings of subscriptions': 'select subconninfo from pg_subscription',
  },
  'no rule allows select on pg_catalog.pg_hba_file_rules': {
    'the rules of pg_hba.conf': 'select * from pg_hba_file_rules',
  },
  'no rule allows select on pg_catalog.pg_stats': {
    'samples of values': 'select most_common_vals from pg_stats',
  },
};
