/** Pipelines that hardly a client would send, to a server and to its twin behind the gateway: every byte that comes back is compared. */
import t from 'tap';
import { startTwins } from '../postgres/clients/twins.js';
import { compare, converse, Pipelines, type Vocabulary } from './pipelines.js';

const SETUP = `
  create table things (id int primary key, name text);
  insert into things select n, 'thing ' || n from generate_series(1, 200) n`;
const BEGIN = 'create temp table t (a int); create temp table v (a int primary key deferrable initially deferred)';

/** Errors when parsed, planned, run, and in the middle of their rows. */
const WORDS: Vocabulary = {
  texts: [
    'select 1',
    'select 1',
    '',
    'select id, name from things order by id limit 5',
    'select n, 1 / (3 - n) from generate_series(1, 5) n',
    'select 1/0',
    'selekt',
    'select * from missing',
    'select n, repeat(n::text, 30) from generate_series(1, 400) n',
    "select repeat('x', 70000), 2",
    'begin',
    'begin',
    'commit',
    'rollback',
    'savepoint s',
    'rollback to s',
    'insert into t values (1) returning a + 0',
    'insert into t values (1), (2), (3)',
    'delete from t',
    'update t set a = a + 1 returning a + 0',
    'create temp table if not exists u (a int)',
    'drop table u',
    'prepare q as select 3',
    'execute q',
    'deallocate q',
    'deallocate all',
    'declare k cursor for select id from things order by id',
    'declare k cursor with hold for select id from things order by id',
    'fetch 2 from k',
    'move 1 in k',
    'close k',
    'close all',
    "do $$ begin raise notice 'noted'; end $$",
    "set application_name = 'x'",
    "set local application_name = 'y'",
    'set constraints all deferred',
    'insert into v values (1)',
    'copy (select n from generate_series(1, 3) n) to stdout',
    'copy (select 1 / (3 - n) from generate_series(1, 5) n) to stdout',
    'explain (costs off) select 1',
    'show application_name',
    'vacuum t',
    'discard plans',
  ],
  withParameter: ['select $1::int', 'select name from things where id < $1::int order by id', 'select 1 / $1::int'],
  several: [
    'select 1; select 2',
    'select 1; select 1/0; select 3',
    'begin; select 1; commit',
    'insert into t values (4); select 1/0',
    'begin; insert into t values (5)',
    'select 1; selekt',
    '; ;',
    'select 1; begin; select 1/0',
    'prepare r as select 1; execute r; deallocate r',
    'copy (select 1) to stdout; select 2',
    'commit; select 1',
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
