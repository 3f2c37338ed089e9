import t from 'tap';
import { analyse, loadParser } from '../../../src/postgres/sql/analyse.js';
import { SizedCache } from '../../../src/postgres/sql/cache.js';
import { numberBlindKey } from '../../../src/postgres/sql/key.js';

await loadParser();

t.test('texts that differ only in whole numbers share a key', async (t) => {
  const key = numberBlindKey('SELECT abalance FROM pgbench_accounts WHERE aid = 0;');
  t.equal(numberBlindKey('SELECT abalance FROM pgbench_accounts WHERE aid = 123456;'), key);
  t.equal(
    numberBlindKey('update a set x = x + -5 where y in (1,22,333)'),
    'update a set x = x + -0 where y in (0,0,0)',
  );
  t.equal(numberBlindKey('select a[12:13] from b limit 10'), 'select a[0:0] from b limit 0');
});

t.test('digits that are part of something else stay in the key', async (t) => {
  for (const text of [
    'select t1.c2 from t1',
    'select 1e5, 1.5, .5, 5., 0x1f, 0b11, 0o17, 1_000 from a',
    'select 1abc from a',
    'select a.1 from a',
    'select 1..2 from a',
    'select x1y2 from _9',
  ]) {
    t.equal(numberBlindKey(text), text, text);
  }
});

t.test('a text with anything but bare words, numbers and operators has no such key', async (t) => {
  for (const text of [
    "select 'x1'",
    'select "t1"',
    'select $1',
    'select $$1$$',
    "select e'\\1'",
    'select \\1',
    'select 1 -- 2',
    'select 1 /* 2 */',
    'select é1',
    'select 1\u00a02',
    'select 1\0',
    'select 1\v2',
  ]) {
    t.equal(numberBlindKey(text), null, JSON.stringify(text));
  }
});

t.test('an analysis kept under a blind key is the one the text would have had', async (t) => {
  const numbers = ['0', '7', '2147483647', '2147483648', '99999999999999999999999', '007'];
  const shapes = [
    'select x from a1 where y = # order by # limit #',
    'select x::numeric(#) , f#(#), t#.c# from t# where b < # and c > #-#',
    'insert into a values (#,#),(-#,+#)',
    'update a set x = # where y in (#,#)',
    'delete from a using b where x between # and #',
    'select #.#, #e#, a# from b#',
    'select #a from b',
    'select # from a group by # having count(*) > # fetch first # rows only',
    'with q as (select # from a) select * from q for update',
    'explain (analyze #) select # from a',
    'set statement_timeout = #',
    'set extra_float_digits to #; select #',
    'fetch # from c',
    'begin; select # from a; commit',
    'copy a to stdout (header #)',
  ];
  for (const shape of shapes) {
    for (const number of numbers) {
      const text = shape.replaceAll('#', number);
      // The same statement under a key of its own: a comment leaves nothing blind.
      t.same(analyse(text), analyse(`${text} -- ${number}`), text);
    }
  }
});

t.test('a setting never comes from a text with another number', async (t) => {
  const settingOf = (text: string) => {
    const analysis = analyse(text);
    return analysis.ok ? analysis.statements[0]?.setting?.value : undefined;
  };
  t.equal(settingOf('set statement_timeout = 0'), '0');
  t.equal(settingOf('set statement_timeout = 5'), '5');
  t.equal(settingOf('set statement_timeout = 0'), '0');
});

t.test('the cache stays within its bounds and forgets what was used longest ago', async (t) => {
  const cache = new SizedCache<number>(3, 100);
  for (const [key, size] of [
    ['a', 10],
    ['b', 10],
    ['c', 10],
  ] as const)
    cache.set(key, size, size);
  cache.get('a');
  cache.set('d', 4, 10);
  t.same([cache.get('a'), cache.get('b'), cache.get('c'), cache.get('d')], [10, undefined, 10, 4]);
  cache.set('e', 5, 85);
  t.equal(cache.get('e'), 5);
  t.equal(cache.count, 2);
  cache.set('f', 6, 101);
  t.equal(cache.get('f'), undefined);
});
