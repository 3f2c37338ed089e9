import t from 'tap';
import { analyse, loadParser } from '../../src/postgres/sql/analyse.js';

t.test('no text holds up the process: what is costly to parse is refused before it is parsed', async (t) => {
  await loadParser();
  const names = (n: number) => Array.from({ length: n }, (_, i) => `t${i}`).join(',');
  const texts: Readonly<Record<string, string>> = {
    'nested comments': `${'/*'.repeat(100_000)}${'*/'.repeat(100_000)}select 1`,
    'nested comments under the limit of length': `${'/*'.repeat(16_000)}${'*/'.repeat(16_000)}select 1`,
    'a long list': `select 1 where 1 in (${'1,'.repeat(300_000)}1)`,
    'many statements': 'select 1;'.repeat(20_000),
    'many columns of many functions': `select ${'x,'.repeat(15_000)}x from ${'now(),'.repeat(5_500)}now()`,
    'many columns of many subqueries': `select ${'x,'.repeat(9_000)}x from ${'(select),'.repeat(4_000)}(select)`,
    'many columns of many lists of values': `select ${'x,'.repeat(9_000)}x from ${'(values(1)),'.repeat(3_000)}now()`,
    'many columns of many joins': `select ${'x,'.repeat(9_000)}x from t${' cross join now()'.repeat(3_000)}`,
    'many conditions on many functions': `select 1 from ${'now(),'.repeat(3_000)}now() where ${'x and '.repeat(6_000)}x`,
    'many constants beside many functions': `select ${'1,'.repeat(9_000)}1 from ${'now(),'.repeat(5_500)}now()`,
    'many columns of many relations': `select ${'x,'.repeat(9_000)}x from ${names(5_000)}`,
  };
  for (const [what, text] of Object.entries(texts)) {
    t.match(analyse(text), { ok: false }, what);
  }
  const wide = `select ${'x,'.repeat(999)}x from ${names(400)}`;
  t.match(analyse(wide), { ok: true }, 'a wide report over many relations');
  t.match(analyse(`select 1 ${'-'.repeat(200)} a banner\n`), { ok: true }, 'people underline with dashes');
});
