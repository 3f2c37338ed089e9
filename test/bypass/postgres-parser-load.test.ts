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
    'many columns of many relations': `select ${'x,'.repeat(9_000)}x from ${names(5_000)}`,
  };
  for (const [what, text] of Object.entries(texts)) {
    t.match(analyse(text), { ok: false }, what);
  }
  t.match(analyse(`select 1 ${'-'.repeat(200)} a banner\n`), { ok: true }, 'people underline with dashes');
});
