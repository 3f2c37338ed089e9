import t from 'tap';
import { analyse, loadParser, MAX_TEXT } from '../../../src/postgres/sql/analyse.js';
import { nameOf, type Statement } from '../../../src/postgres/sql/analysis.js';
import { partsOf } from '../../../src/postgres/sql/names.js';

await loadParser();

function only(text: string): Statement {
  const analysis = analyse(text);
  if (!analysis.ok) throw new Error(`${text}: ${analysis.message}`);
  const [statement] = analysis.statements;
  if (!statement || analysis.statements.length > 1) throw new Error(`${text}: not one statement`);
  return statement;
}

/** `reads | writes`, as words. */
function touched(text: string): string {
  const parts = partsOf(only(text));
  const reads = parts.flatMap((part) => part.reads.map(nameOf));
  const writes = parts.flatMap((part) => part.writes.map((write) => `${write.verb} ${nameOf(write.relation)}`));
  return `${[...new Set(reads)].sort().join(' ')} | ${writes.join(', ')}`;
}

t.test('the relations of a statement are those that PostgreSQL would touch', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['select 1', ' | '],
    ['table a', 'a | '],
    ['select * from a, s.b join c using (x)', 'a c s.b | '],
    ['select (select 1 from a) from b where exists (select from c) order by (select x from d)', 'a b c d | '],
    ['select * from a left join lateral (select * from b where b.x = a.x limit 1) s on true', 'a b | '],
    ['values ((select x from a))', 'a | '],
    ['select 1 from a union all (select 2 from b except select 3 from c)', 'a b c | '],
    ['select array(select x from a), x = any (select y from b), (select z from c)[1] from d', 'a b c d | '],
    ['select count(*) filter (where x in (select 1 from a)) over (order by (select 1 from b)) from c', 'a b c | '],
    ['select * from f((select x from a)) with ordinality', 'a | '],
    ['select * from rows from (f((select x from a)), g(1)) as z(p, q)', 'a | '],
    ['select * from a tablesample bernoulli ((select 1 from b))', 'a b | '],
    [
      "select * from xmltable('/r' passing (select d from a) columns x int path 'x' default (select 1 from b))",
      'a b | ',
    ],
    [
      "select * from json_table((select d from a), '$[*]' columns (x int path '$.x' default (select 1 from b) on empty))",
      'a b | ',
    ],
    [
      "select json_object('k': (select 1 from a)), json_array(select x from b), json_arrayagg(c.y order by (select 1 from d)) from c",
      'a b c d | ',
    ],
    ['select * from a group by grouping sets ((x), rollup (y, (select 1 from b)))', 'a b | '],
    ['select * from a limit (select 1 from b) offset (select 2 from c)', 'a b c | '],
    [
      'select case when x then (select 1 from a) else coalesce((select 2 from b), greatest(1, (select 3 from c))) end',
      'a b c | ',
    ],
    ['insert into a select * from b', 'b | insert a'],
    ['insert into a values (1) returning x', 'a | insert a'],
    [
      'insert into a values (1) on conflict (x) do update set y = (select 1 from b) where a.z > 1',
      'a b | insert a, update a',
    ],
    ['insert into a values (1) on conflict do nothing', ' | insert a'],
    ['update a set (x, y) = (select 1, 2 from b) from c where a.z = c.z', 'a b c | update a'],
    ['delete from a using b where a.x = b.x returning (select 1 from c)', 'a b c | delete a'],
    [
      'merge into a using b on a.x = b.x when matched then delete when not matched then insert values ((select 1 from c))',
      'a b c | merge a',
    ],
    ['select * into a from b', 'b | ddl a'],
    ['select 1 into a union select 2 from b', 'b | ddl a'],
    ['create table a as select * from b', 'b | ddl a'],
    ['create view a as with c as (select 1) select * from b, c', 'b | ddl a'],
    ['create table a (x int references b, y int default (1), like c)', 'b c | ddl a'],
    ['create index on a (lower(x)) where y > 1', ' | ddl a'],
    ['alter table a add column x int, drop column y', ' | ddl a'],
    ['alter table a rename to b', ' | ddl a, ddl b'],
    ['drop table s.a, b', ' | ddl s.a, ddl b'],
    ['truncate a, s.b', ' | ddl a, ddl s.b'],
    ['explain (analyze, format json) delete from a using b', 'a b | delete a'],
    ['explain analyze create table a as select * from b', 'b | ddl a'],
    ['copy a to stdout', 'a | '],
    ['copy (select * from a) to stdout with (format csv, header)', 'a | '],
    ['copy (delete from a returning *) to stdout', 'a | delete a'],
    ['copy a (x, y) from stdin where x > 1', ' | copy-in a'],
    ['prepare p (int) as update a set x = $1', 'a | update a'],
    ['declare c cursor for select * from a', 'a | '],
  ];
  for (const [text, expected] of cases) {
    t.equal(touched(text), expected, text);
    t.equal(
      partsOf(only(text)).find((part) => part.unknown !== null),
      undefined,
      `${text}: known`,
    );
  }
});

t.test('a name that WITH gives hides a relation exactly where PostgreSQL says so', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['with a as (select 1) select * from a', ' | '],
    ['with a as (select 1) select * from public.a', 'public.a | '],
    ['with a as (select * from a) select * from a', 'a | '],
    ['with recursive a as (select 1 union all select x + 1 from a) select * from a', ' | '],
    ['with a as (select * from b), b as (select 1) select * from a', 'b | '],
    ['with recursive a as (select * from b), b as (select 1) select * from a', ' | '],
    ['with a as (select 1), b as (select * from a) select * from b', ' | '],
    ['select * from (with a as (select 1) select * from a) s, a', 'a | '],
    ['with a as (select 1) select * from (select * from a) s where exists (select from a)', ' | '],
    ['with a as (with b as (select 1) select * from b) select * from b', 'b | '],
    ['(with a as (select 1) select * from a) union select * from a', 'a | '],
    ['with a as (select 1) (select * from a) union (select * from a)', ' | '],
    ['with a as (select 1) insert into b select * from a', ' | insert b'],
    ['insert into b with a as (select 1) select * from a', ' | insert b'],
    ['with a as (select 1) insert into a select * from a', ' | insert a'],
    ['with a as (select 1) update b set x = 1 from a', 'b | update b'],
    ['with a as (select 1) update a set x = 1', 'a | update a'],
    ['with a as (select 1) delete from b using a', 'b | delete b'],
    ['with a as (select 1) merge into b using a on true when matched then do nothing', 'b | merge b'],
    ['with a as (delete from b returning *) select * from a', 'b | delete b'],
    [
      'with a as (insert into b select * from c returning *), d as (update e set x = 1) select 1',
      'b c e | insert b, update e',
    ],
    ['select * from (with x as (delete from a returning *) select 1) s', 'a | delete a'],
    ['create view v as with a as (select 1) select * from a', ' | ddl v'],
    ['explain with a as (select 1) select * from a', ' | '],
    ['copy (with a as (select 1) select * from a) to stdout', ' | '],
    ['with recursive t(n) as (select 1 union all select n + 1 from t) cycle n set c using p select * from t', ' | '],
    ['with "A" as (select 1) select * from a, "A"', 'a | '],
  ];
  for (const [text, expected] of cases) t.equal(touched(text), expected, text);
});

t.test('FOR UPDATE and FOR SHARE lock what they name, or everything', async (t) => {
  const locks = (text: string) => only(text).locks.map(nameOf).sort().join(' ');
  t.equal(locks('select * from a for update'), 'a');
  t.equal(locks('select * from a, b for key share of b'), 'b');
  t.equal(locks('select * from a x join s.b y using (z) for update of x'), 'a');
  t.equal(locks('select * from a x join b y using (z) for update of nobody'), 'a b');
  t.equal(locks('select * from (select * from a) s for no key update'), 'a');
  t.equal(locks('with q as (select * from a for share) select * from q, b'), 'a');
  t.equal(locks('select * from a where x in (select y from b) for update skip locked'), 'a');
  t.equal(locks('select * from a'), '');
});

t.test('a type of another schema is noted wherever one may stand', async (t) => {
  for (const text of [
    "select 'x'::evil.typ",
    'select cast(null as evil.typ[])',
    'select * from f() as (x evil.typ)',
    "select * from xmltable('/r' passing x columns y evil.typ path 'y')",
    "select * from json_table('1', '$' columns (y evil.typ path '$'))",
    "select json_value('1', '$' returning evil.typ)",
    'select xmlserialize(content x as evil.typ)',
    'prepare p (evil.typ) as select $1',
  ]) {
    const types = partsOf(only(text)).flatMap((part) => part.types);
    t.match(types.at(-1), { schema: 'evil', name: 'typ' }, text);
  }
});

t.test('what is written like a column is noted with everything it may stand for', async (t) => {
  const notes = (text: string) =>
    only(text).references.map(({ fields, star, visible }) => {
      const items = visible.map(
        ({ alias, relation, whole }) => `${alias}=${relation ? nameOf(relation) : '?'}${whole ? '!' : ''}`,
      );
      return `${[...fields, ...(star ? ['*'] : [])].join('.')} of ${items.join(' ')}`;
    });
  t.same(notes('select o.x, y from s.orders o'), ['o.x of o=s.orders', 'y of o=s.orders']);
  t.same(notes('select *, a.* from a, b'), ['* of a=a b=b', 'a.* of a=a b=b']);
  t.same(notes('select (select x from b) from a'), ['x of b=b a=a']);
  t.same(notes('select 1 from a join b using (z)'), ['z of a=a b=b']);
  t.same(notes('select 1 from a natural join b'), ['* of a=a! b=b!']);
  t.same(notes('with q as (select 1 as x from a) select q.x from q'), ['q.x of q=?!']);
  t.same(notes('select x from (select 1 from a) q, f() g'), ['x of q=?! g=?!']);
  t.same(notes('select x from a as b(c), (a join d on true) j'), ['x of b=a! a=a! d=d! j=?!']);
  t.same(notes('insert into a select x from b returning y'), ['x of b=b', 'y of a=a excluded=a old=a new=a']);
  t.same(notes('copy a (x, y) to stdout'), ['x of a=a', 'y of a=a']);
  t.same(notes('copy a to stdout'), ['* of a=a']);
});

t.test('operators are noted by the names that are looked up', async (t) => {
  const operators = (text: string) => [...only(text).operators].sort().join(' ');
  t.equal(operators('select a + b, a operator(pg_catalog.-) b, -a'), '+ -');
  t.equal(operators('select a between 1 and 2'), '< <= > >=');
  t.equal(operators('select a in (1), b not in (2), c like 1'), '<> = ~~');
  t.equal(operators('select a in (select 1)'), '=');
  t.equal(operators('select a < all (select 1)'), '<');
  t.equal(operators('select case a when 1 then 2 end'), '=');
  t.equal(operators('select 1 from a join b using (c)'), '=');
  t.equal(operators('select nullif(a, 1)'), '=');
});

t.test('what could run code that nobody named has an unknown effect', async (t) => {
  for (const text of [
    'select 1 operator(evil.+) 2',
    'select * from a order by x using operator(evil.<)',
    'select (1, 2) = any (select 1, 2) and x operator(evil.=) any (array[1])',
    'select x operator(evil.=) any (select 1)',
    'select x collate evil.c from a',
    'select * from a tablesample evil.m(1)',
    'select * from other.public.orders',
    'select a.b.c(1)',
    'insert into a values (1) on conflict (x evil.ops) do nothing',
    'explain (evil) select 1',
    "copy a to stdout (evil 'x')",
  ]) {
    t.ok(
      partsOf(only(text)).some((part) => part.unknown !== null),
      text,
    );
  }
});

t.test('everyday SELECTs are never unknown', async (t) => {
  for (const text of [
    'select current_user, session_user, current_date, localtime, current_timestamp(3), current_schema, user',
    "select extract(epoch from now()), position('a' in 'b'), overlay('a' placing 'b' from 1), trim(both ' ' from x) from a",
    "select x at time zone 'UTC', y at local, interval '1 day', date '2026-01-01', '1'::numeric(10, 2), x::text[] from a",
    "select x is distinct from y, x between symmetric 1 and 2, x similar to 'a', x ilike 'b', x !~ 'c', x is null, x is not true from a",
    'select (a).b[1].c, a.*, row(1, 2), row(a.*), array[[1, 2], [3, 4]], x[1:2] from a',
    'select sum(x) over w, rank() over (partition by y order by z desc nulls last rows between 1 preceding and current row) from a window w as (order by x)',
    "select percentile_cont(0.5) within group (order by x), string_agg(distinct y, ',' order by y), grouping(x) from a group by cube (x, y)",
    "select '{\"a\": 1}'::jsonb -> 'a' ->> 'b' #> '{c}', j @> '{}', j ? 'k', jsonb_path_query(j, '$.a') from a",
    "select j is json object with unique keys, json_exists(j, '$.a'), json_query(j, '$.a' with wrapper), json('1'), json_scalar(1), json_serialize(j) from a",
    "select xmlelement(name a, xmlattributes(x as b), y), xmlforest(x, y), xmlconcat(x), xmlparse(content '<a/>'), x is document from a",
    "select 'orders'::regclass, 'f(int)'::regprocedure, 'x' collate \"C\", x collate pg_catalog.\"default\" from a",
    'select distinct on (x) x, y from a order by x, y desc fetch first 3 rows with ties',
    'select * from a natural full join b cross join c left join d on true join e using (x) as j',
    'select make_interval(days => 1), variadic_f(variadic array[1]), x operator(pg_catalog.+) 1 from a',
    'select 0x1f, 1_000, 0b1, 1e5, .5, -1, $1::int, :a'.replace(', :a', ''),
    "select e'\\n', u&'\\0041', b'01', x'ff', $tag$ text $tag$, n'x' /* nested /* comment */ */ -- end",
    'select t.x, (select 1), exists (select 1), not (x and y or z), nullif(1, 2), greatest(1, 2), least(1, 2) from t',
    'update t set x = default, y[1] = 2, (z, w) = row(1, default) where current of c',
    'insert into t (x) overriding system value values (default), (1) returning with (old as o, new as n) o.x, n.x',
    'merge into t using s on t.x = s.x when not matched by source then delete returning merge_action(), t.*',
  ]) {
    t.equal(only(text).unknown, null, text);
  }
});

t.test('statements that steer a session say what they steer', async (t) => {
  t.match(only('set local statement_timeout = 5000').setting, {
    name: 'statement_timeout',
    value: '5000',
    kind: 'set',
    local: true,
  });
  t.match(only("set names 'latin1'").setting, { name: 'client_encoding', value: 'latin1' });
  t.match(only('set search_path to a, "B"').setting, { name: 'search_path', value: 'a, B' });
  t.match(only('set time zone default').setting, { name: 'timezone', kind: 'reset' });
  t.match(only('reset all').setting, { name: null, kind: 'reset' });
  t.match(only('show server_version').setting, { name: 'server_version', kind: 'show' });
  t.match(only('begin read write').transaction, { kind: 'begin', readWrite: true });
  t.match(only('begin isolation level serializable read only').transaction, { kind: 'begin', readWrite: false });
  t.match(only('set transaction read write').transaction, { kind: 'set', readWrite: true });
  t.match(only('set session characteristics as transaction read write').transaction, {
    kind: 'session',
    readWrite: true,
  });
  t.match(only('execute p(1)').runs, { kind: 'statement', name: 'p' });
  t.match(only('explain analyze execute p').body?.runs, { kind: 'statement', name: 'p' });
  t.match(only('fetch 10 from c').runs, { kind: 'cursor', name: 'c' });
  t.match(only('move c').runs, { kind: 'cursor', name: 'c' });
  t.match(only('close all').drops, { kind: 'cursor', name: null });
  t.match(only('deallocate p').drops, { kind: 'statement', name: 'p' });
  t.match(only('discard all').drops, { kind: 'all' });
});

t.test('statements that reach beyond relations are nobody’s but any’s', async (t) => {
  for (const text of [
    'do $$ begin delete from a; end $$',
    'call p()',
    "load 'x'",
    'lock table a',
    'listen a',
    'notify a',
    "prepare transaction 'x'",
    "commit prepared 'x'",
    "rollback prepared 'x'",
    'vacuum a',
    'analyze a',
    'checkpoint',
    "alter system set x = 'y'",
    "create user x password 'y'",
    'alter role x superuser',
    'grant select on a to b',
    'revoke all on a from b',
    'reassign owned by a to b',
    "create function f() returns int language sql as 'select 1'",
    'create trigger x before insert on a for each row execute function f()',
    'create rule r as on select to a do instead nothing',
    'create policy p on a',
    'create extension x',
    'create schema s',
    'drop schema s cascade',
    'drop table a cascade',
    'truncate a cascade',
    'drop function f()',
    'alter table a owner to b',
    'alter table a disable trigger all',
    'alter table a set schema b',
    'alter table a drop column x cascade',
    "copy a to '/tmp/x'",
    "copy a from '/tmp/x'",
    "copy a to program 'x'",
    "copy a from program 'x'",
    "set transaction snapshot 'x'",
    "comment on table a is 'x'",
    "security label on table a is 'x'",
    'reindex table a',
    'cluster a',
    "create subscription s connection 'x' publication p",
    'import foreign schema s from server x into y',
  ]) {
    t.equal(only(text).verb, 'other', text);
  }
});

t.test('a text that cannot be judged is said to be so, and never throws', async (t) => {
  t.match(analyse('selec 1'), { ok: false, reason: 'unparsable' });
  t.match(analyse('select 1\0; drop table a'), { ok: false, reason: 'unparsable' });
  t.match(analyse("select '\ud800'"), { ok: false, reason: 'unparsable' });
  t.match(analyse(`select '${'x'.repeat(MAX_TEXT)}'`), { ok: false, reason: 'too_large' });
  t.same(analyse(''), { ok: true, statements: [] });
  t.same(analyse(' ;; -- nothing'), { ok: true, statements: [] });
  const both = analyse('select 1; delete from a');
  t.equal(both.ok && both.statements.length, 2);
});

t.test('hostile nesting is refused again and again, and the parser stays of use', async (t) => {
  const hostile = (n: number) => [
    `select 1${'+1'.repeat(20_000 + n)}`,
    `select array${'['.repeat(8_000 + n)}1${']'.repeat(8_000 + n)}`,
    `select 1${' union select 1'.repeat(20_000 + n)}`,
    `select ${'f('.repeat(8_000 + n)}1${')'.repeat(8_000 + n)}`,
  ];
  for (let round = 0; round < 15; round += 1) {
    for (const text of hostile(round)) {
      t.equal(analyse(text).ok, false);
      // What comes with the next message finds a parser again.
      await new Promise((resolve) => setImmediate(resolve));
      t.equal(analyse(`select x${round} from b${text.length}`).ok, true);
    }
  }
});
