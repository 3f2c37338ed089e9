/** Pipelines that hardly a client would send, to a server and to its twin behind the gateway: every byte that comes back is compared. */
import t from 'tap';
import { startTwins } from '../postgres/clients/twins.js';
import { compare, converse, Pipelines, USUAL, type Vocabulary } from './pipelines.js';

const SETUP = `
  create table things (id int primary key, name text);
  insert into things select n, 'thing ' || n from generate_series(1, 200) n`;
const BEGIN = 'create temp table t (a int); create temp table v (a int primary key deferrable initially deferred)';

/** Errors when parsed, planned, run, and in the middle of their rows. */
const WORDS: Vocabulary = {
  texts: [
    ...USUAL.texts,
    'select 1',
    'selekt',
    'select * from missing',
    "select repeat('x', 70000), 2",
    'insert into t values (1) returning a + 0',
    'insert into t values (1), (2), (3)',
    'delete from t',
    'update t set a = a + 1 returning a + 0',
    'create temp table if not exists u (a int)',
    'drop table u',
    'execute q',
    'fetch 2 from k',
    'move 1 in k',
    "do $$ begin raise notice 'noted'; end $$",
    'insert into v values (1)',
    'vacuum t',
  ],
  withParameter: USUAL.withParameter,
  several: [
    ...USUAL.several,
    'insert into t values (4); select 1/0',
    'begin; insert into t values (5)',
    'select 1; selekt',
  ],
  copies: ['copy t from stdin', 'copy t (a) from stdin csv', 'copy missing from stdin'],
  copiesAmong: [
    'copy t from stdin; copy t from stdin',
    'select 1; copy t from stdin; select 2',
    'begin; copy t from stdin',
    'copy t from stdin; selekt',
  ],
};

for (const mode of ['strict', 'buffered'] as const)
  t.test(`a pipeline of anything is answered as by the server itself: ${mode}`, async (t) => {
    const { direct, gateway } = await startTwins(t, SETUP, mode);
    await compare(t, async ({ random, seed }) => {
      const script = new Pipelines(random, WORDS).steps();
      const [expected, got] = await Promise.all([
        converse(t, direct, script, seed, BEGIN),
        converse(t, gateway, script, seed, BEGIN),
      ]);
      return { script, expected, got };
    });
  });
