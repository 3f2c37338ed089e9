import type { Attacks } from './table.js';

/** Names and texts that are something else than they look like. */
export const DISGUISES: Attacks = {
  'no rule names public.cancel_everything': {
    'a function called as a column': 'select o.cancel_everything from orders o limit 1',
    'a function called as a column, in parentheses': 'select (o).cancel_everything from orders o limit 1',
    'a column that calls, in WHERE': 'select 1 from orders o where o.cancel_everything is not null',
    'a column that calls, in a subquery': 'select (select o.cancel_everything) from orders o',
  },
  'what is not known is refused': {
    'an operator of another schema': 'select 1 operator(public.+) 1',
    'TABLESAMPLE of another method': 'select * from orders tablesample public.evil (10)',
    'CREATE TABLE AS EXECUTE': 'create table stolen as execute kept',
    'a call by a database': "select postgres.pg_catalog.set_config('role', 'postgres', false)",
    'an operator of another schema, in ANY': 'select 1 operator(evil.+) any (array[1])',
    'an operator of another schema, in ORDER BY': 'select id from orders order by id using operator(evil.<)',
    'an operator of another schema, before its operand': 'select operator(evil.-) 1',
    'a collation of another schema': 'select status collate evil.c from orders',
    'a table of another database': 'select * from postgres.public.payment_methods',
  },
  'no rule names public.orders': {
    'a cast to a type of another schema': "select 'x'::public.orders",
  },
  'what cannot be parsed is refused': {
    'a cursor over a write': 'declare c cursor for delete from orders returning *',
    'TABLE INTO': 'table orders into stolen',
    'FETCH from a cursor over a write': 'declare w cursor for delete from orders returning *; fetch all from w',
    'a comment that does not end': 'select 1; delete from orders /* ',
    'a write with a no-break space': 'delete\u00a0from orders',
    'a write behind a byte order mark': '\ufeffdelete from orders',
    'a write in parentheses': '(((delete from orders)))',
  },
  'no rule names evil.typ': {
    'a cast to a domain of another schema': "select 'x'::evil.typ",
    'CAST to a domain of another schema': "select cast('x' as evil.typ)",
    'a constant of a type of another schema': "select evil.typ 'x'",
    'an array of a type of another schema': "select '{x}'::evil.typ[]",
    'a column definition of a type of another schema': "select * from json_to_record('{}') as x(a evil.typ)",
    'a parameter of a type of another schema': 'prepare w (evil.typ) as select 1',
    'JSON_VALUE returning a type of another schema': "select json_value(jsonb '\"x\"', '$' returning evil.typ)",
  },
};
