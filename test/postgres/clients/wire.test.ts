/** The oracle at its strictest: the same bytes to a server and to its twin behind the gateway, every answered byte compared. */
import t from 'tap';
import {
  bind,
  close,
  cstring,
  describe,
  execute,
  flush,
  front,
  int16,
  int32,
  parse,
  query,
  sync,
} from '../../support/wire.js';
import { enter, shown, startTwins } from './twins.js';

const SETUP = `
  create table things (id int primary key, name text, price numeric(10, 2), tags text[], made timestamptz default '2020-01-01');
  insert into things select n, 'thing ' || n, n * 1.5, array['a', 'b' || n] from generate_series(1, 200) n;
  create type mood as enum ('sad', 'ok', 'happy');
  create function shout(text) returns void language plpgsql as $$ begin raise notice 'heard %', $1 using hint = 'whisper'; end $$;
  create procedure twice(inout n int) language plpgsql as $$ begin n := n * 2; commit; end $$;
  create function fail(code text) returns void language plpgsql as $$
    begin raise exception 'as asked' using errcode = code, detail = 'some detail', table = 'things', constraint = 'none'; end $$`;

/** What is sent, and what the answer ends with: so many messages of a type. */
type Step = readonly [sent: Buffer, end?: string, count?: number];

const q = (text: string): Step => [query(text)];
const qs = (...texts: string[]): readonly Step[] => texts.map(q);
const all = (...parts: Buffer[]): Step => [Buffer.concat(parts)];
const several = (count: number, ...parts: Buffer[]): Step => [Buffer.concat(parts), 'Z', count];
const data = (text: string) => front('d', Buffer.from(text));
const done = () => front('c');
const typed = (name: string, text: string, ...types: number[]) =>
  front('P', cstring(name), cstring(text), int16(types.length), ...types.map(int32));
/** A Bind with formats of its own: parameters, and those of the columns. */
const bound = (statement: string, formats: number[], values: (Buffer | null)[], columns: number[], portal = '') =>
  front(
    'B',
    ...[cstring(portal), cstring(statement), int16(formats.length), ...formats.map(int16), int16(values.length)],
    ...values.flatMap((value) => (value === null ? [int32(-1)] : [int32(value.length), value])),
    ...[int16(columns.length), ...columns.map(int16)],
  );
const run = (text: string, ...values: string[]) =>
  Buffer.concat([parse('', text), bind('', '', ...values), describe('P', ''), execute('')]);

const scripts: Readonly<Record<string, readonly Step[]>> = {
  'simple queries': qs(
    'select 1',
    '',
    ';',
    '  -- nothing\n',
    'select 1; select 2 as two, null; ;',
    'select 1; select 1/0; select 3',
    'selekt',
    'select * from missing',
    'select * from things order by id limit 3',
    'table things',
    "select 'é✓', e'\\x41', U&'\\0441', $x$dollar$x$, '\\x00ff'::bytea, b'101', interval '1 day', now() > '2020-01-01'",
    'values (1, true), (2, null)',
    "select row(1, 'a'), array[[1,2],[3,4]], '{\"a\": 1}'::jsonb, 'ok'::mood, point(1,2), int4range(1,5), null::mood",
    'explain (costs off) select * from things where id = 1',
    'select 1 from generate_series(1, 3000)',
    'create temp table t (a int); insert into t values (1), (2); update t set a = a + 1; delete from t where a = 2 returning a',
    'merge into t using (values (3)) v(a) on t.a = v.a when matched then delete',
    'truncate t; drop table t',
  ),
  'transactions and their status': qs(
    'begin',
    'select 1/0',
    'select 1',
    'rollback',
    'begin; savepoint a; select 1/0',
    'rollback to a',
    'select 1',
    'commit',
    'commit',
    'begin; select 1; commit; select 2',
    'begin isolation level serializable read only deferrable',
    'insert into things values (9999)',
    'end',
    "begin; insert into things values (300, 'x'); prepare transaction 'two'",
    "commit prepared 'two'",
    'insert into things values (1)',
    'delete from things where id = 300',
    'begin; insert into things values (301); select 1/0; commit',
    'select count(*) from things',
    'call twice(4)',
    'begin; call twice(4)',
    'rollback',
    'commit and chain',
    'start transaction; commit and chain; rollback',
  ),
  'notices, errors and settings': qs(
    "select shout('hello')",
    "select fail('P0001')",
    "select fail('22012')",
    "select fail('40001')",
    "do $$ begin raise warning 'warned'; raise info 'informed'; raise log 'logged'; raise debug 'debugged'; end $$",
    "set client_min_messages = debug1; do $$ begin raise debug 'debugged'; end $$",
    'reset client_min_messages',
    "set datestyle = 'German, DMY'; select date '2020-02-01'; reset datestyle",
    "set timezone = 'Asia/Tokyo'; select timestamptz '2020-01-01 00:00Z'; set local timezone = 'UTC'",
    "set application_name = 'ünïcode'",
    "begin; set local application_name = 'local'",
    'rollback',
    "set standard_conforming_strings = off; select 'a\\\\b'",
    'set standard_conforming_strings = on',
    'set search_path = pg_catalog, public; show search_path',
    'set search_path = public',
    'set role pg_monitor; select current_user; reset role',
    'create role someone; set session authorization someone; select current_user; reset session authorization; drop role someone',
    'set nonsense = 1',
    'show all_that',
    'discard all',
    'drop table if exists nothing_at_all',
    'select $1',
    'vacuum things',
    'select 1; vacuum things',
    "set client_encoding = 'LATIN1'; select 'x'",
    "set client_encoding = 'UTF8'",
  ),
  'prepared statements by SQL and by message': [
    ...qs(
      'prepare a (int) as select name from things where id = $1',
      'execute a (3)',
      "execute a ('x')",
      'execute b (1)',
    ),
    all(bind('', 'a', '5'), describe('P', ''), execute(''), sync()),
    all(describe('S', 'a'), sync()),
    all(parse('b', 'select $1::int + $2::int8, $3::text'), describe('S', 'b'), sync()),
    all(bind('', 'b', '1', '2', 'three'), execute(''), sync()),
    q("execute b (1, 2, 'x')"),
    all(parse('b', 'select 1'), sync()),
    all(close('S', 'b'), close('S', 'b'), close('P', 'none'), sync()),
    all(bind('', 'b', '1'), execute(''), sync()),
    ...qs('deallocate a', 'deallocate a', 'deallocate all', 'execute a (1)'),
    all(parse('', ''), bind('', ''), describe('P', ''), execute(''), sync()),
    all(parse('', 'select 1; select 2'), sync()),
    all(parse('', 'select from where'), sync()),
    all(typed('', 'select $1', 23), describe('S', ''), sync()),
    all(typed('', 'select $1, $2', 23, 0), describe('S', ''), sync()),
    all(typed('', 'select $1', 999999), sync()),
    all(parse('', 'select $2::text'), describe('S', ''), sync()),
  ],
  'formats of parameters and columns': [
    all(typed('n', 'select $1, $2, $3', 23, 25, 1700), sync()),
    all(bound('n', [1, 0, 0], [int32(7), Buffer.from('x'), Buffer.from('1.50')], [1, 0, 1]), execute(''), sync()),
    all(bound('n', [1], [int32(7), Buffer.from('x'), null], [1]), sync()),
    all(bound('n', [0], [null, null, null], [0]), describe('P', ''), execute(''), sync()),
    all(bound('n', [], [Buffer.from('1')], []), sync()),
    all(bound('n', [0, 1], [null, null, null], []), sync()),
    all(bound('n', [], [null, null, null], [0, 1]), sync()),
    all(bound('n', [], [Buffer.from('seven'), null, null], []), execute(''), sync()),
    all(bound('n', [1, 1, 1], [Buffer.of(1), null, null], []), execute(''), sync()),
    all(bound('n', [], [null, Buffer.from([0xff, 0xfe]), null], []), execute(''), sync()),
    all(bound('n', [7], [null, null, null], []), execute(''), sync()),
    all(
      parse('m', 'select * from things order by id'),
      bound('m', [], [], [1]),
      describe('P', ''),
      execute('', 2),
      sync(),
    ),
  ],
  'portals and cursors': [
    ...qs('begin'),
    [
      Buffer.concat([
        parse('p', 'select id from things order by id'),
        bind('c1', 'p'),
        execute('c1', 2),
        execute('c1', 2),
        flush(),
      ]),
      's',
      2,
    ],
    [Buffer.concat([execute('c1', 0), sync()])],
    all(bind('c2', 'p'), execute('c2', 1), sync()),
    ...qs('fetch 3 from c2', 'move forward 5 from c2', 'fetch backward 1 from c2', 'close c2', 'fetch 1 from c2'),
    ...qs(
      'rollback',
      'fetch 1 from c2',
      'begin; declare d scroll cursor with hold for select id from things order by id',
    ),
    ...qs('fetch last from d', 'fetch first from d', 'fetch absolute 7 from d', 'commit', 'fetch 2 from d'),
    all(describe('P', 'd'), execute('d', 2), sync()),
    ...qs('close d', 'close all', 'close d', 'declare e cursor for select 1'),
    all(sync()),
    all(bind('c4', 'p'), bind('c4', 'p'), sync()),
    all(bind('', 'p'), execute('', 1), bind('', 'p'), execute('', 1), sync()),
    all(
      parse('', "insert into things values (400, 'x') returning id"),
      bind('', ''),
      execute('', 1),
      execute('', 1),
      sync(),
    ),
    ...qs('delete from things where id = 400'),
  ],
  'pipelines and errors in them': [
    all(run('select 1'), run('select 2'), run('select 3'), sync()),
    all(run('select 1'), run('select 1/0'), run('select 3'), sync()),
    all(run("insert into things values (500, 'x')"), run('select 1/0'), sync()),
    ...qs('select count(*) from things where id = 500'),
    several(3, run('select 1/0'), sync(), run('select 2'), sync(), run('selekt'), run('select 4'), sync()),
    several(
      3,
      run("insert into things values (501, 'x')"),
      sync(),
      run('select 1/0'),
      sync(),
      run('delete from things where id = 501'),
      sync(),
    ),
    several(4, query('select 1'), query('select 1/0'), query('select 2; select 3'), query('')),
    several(3, run('select 1'), sync(), query('select 2'), run('select 3'), sync()),
    several(1, run('select 1/0'), query('select 2'), run('select 3'), sync()),
    several(2, sync(), sync()),
    all(run('begin'), run('select 1'), sync()),
    all(run('select 1/0'), sync()),
    all(run('select 1'), sync()),
    all(run('rollback'), run('select 1'), sync()),
    [Buffer.concat([run('select 1'), flush()]), 'C'],
    [Buffer.concat([run('select 1/0'), flush()]), 'E'],
    all(run('select 2'), sync()),
    [Buffer.concat([parse('', 'select $1::int'), describe('S', ''), flush()]), 'T'],
    all(bind('', '', '5'), execute(''), sync()),
    all(
      run('begin'),
      run('create temp table tt (a int)'),
      run('insert into tt values ($1)', '1'),
      run('commit'),
      run('select * from tt'),
      sync(),
    ),
    all(run('vacuum'), sync()),
    all(run('select 1'), run('vacuum'), sync()),
    several(
      40,
      ...Array.from({ length: 40 }, (_, i) =>
        Buffer.concat([i % 3 === 0 ? run('select 1/0') : run(`select ${i}`), sync()]),
      ),
    ),
  ],
  'COPY both ways': [
    ...qs('create temp table c (a int, b text)', 'copy things to stdout', 'copy (select 1, null) to stdout csv header'),
    ...qs(
      'copy (select n from generate_series(1, 5000) n) to stdout (format binary)',
      'copy (select 1/0) to stdout',
      'copy nothing to stdout',
    ),
    [query('copy c from stdin'), 'G'],
    all(data('1\tone\n2\ttw'), data('o\n'), data('\\.\n'), done()),
    [query('copy c from stdin csv'), 'G'],
    all(data('3,"th\nree"\n'), done()),
    [query('copy c from stdin'), 'G'],
    all(front('f', cstring('changed my mind'))),
    [query('copy c from stdin'), 'G'],
    all(data('not a number\tx\n'), data('5\tfive\n'), done(), query('select count(*) from c')),
    q('select * from c order by a'),
    [query('select 1; copy c from stdin; select 2; copy c from stdin; select 3'), 'G'],
    [Buffer.concat([data('6\tsix\n'), done()]), 'G'],
    all(data('7\tseven\n'), done()),
    [query('begin; copy c from stdin'), 'G'],
    all(data('x\n'), done()),
    ...qs('rollback', 'select count(*) from c'),
    [Buffer.concat([parse('', 'copy c from stdin'), bind('', ''), execute(''), sync()]), 'G'],
    all(data('8\teight\n'), done(), sync()),
    [Buffer.concat([parse('', 'copy c from stdin'), bind('', ''), execute(''), flush()]), 'G'],
    all(data('y\n'), done(), sync()),
    [Buffer.concat([parse('', 'copy c from stdin'), bind('', ''), execute(''), sync()]), 'G'],
    all(front('f', cstring('no')), sync()),
    all(run('copy (select 1) to stdout'), run('select 2'), sync()),
    q('copy c from stdin; selekt'),
    [query('copy c from stdin'), 'G'],
    all(sync(), flush(), data('9\tnine\n'), sync(), done()),
    ...qs('select count(*) from c', "copy c from program 'echo 10'", "copy c to '/nonexistent/x'"),
    // Data that comes after a COPY has failed is nobody's.
    all(data('late\n'), done(), front('f', cstring('late')), query('select 1')),
  ],
  'LISTEN and NOTIFY': [
    ...qs('listen news', "notify news, 'read all about it'", "begin; notify news, 'later'; notify news; notify news"),
    ...qs(
      'commit',
      "select pg_notify('news', 'by function')",
      "begin; notify news, 'never'",
      'rollback',
      'unlisten news',
    ),
    ...qs("notify news, 'nobody'", 'unlisten *', "select pg_notify('', 'x')"),
    all(run('listen other'), run("select pg_notify('other', 'in a pipeline')"), sync()),
  ],
  'large objects': [
    ...qs("select lo_from_bytea(4711, '\\xdeadbeef')", 'select lo_get(4711)', 'begin', 'select lo_open(4711, 131072)'),
    ...qs(
      'select loread(0, 2)',
      'select lo_lseek(0, 1, 0)',
      'select loread(0, 10)',
      'commit',
      'select lo_unlink(4711)',
    ),
    ...qs('select lo_unlink(4711)'),
  ],
  'functions called by message': [
    // pg_backend_pid would differ; int4pl (177) does not.
    [front('F', int32(177), int16(1), int16(1), int16(2), int32(4), int32(2), int32(4), int32(3), int16(1))],
    [front('F', int32(177), int16(0), int16(2), int32(1), Buffer.from('2'), int32(1), Buffer.from('3'), int16(0))],
    [front('F', int32(177), int16(0), int16(2), int32(-1), int32(1), Buffer.from('3'), int16(0))],
    [front('F', int32(177), int16(0), int16(1), int32(1), Buffer.from('2'), int16(0))],
    [front('F', int32(1), int16(0), int16(0), int16(0))],
    q('begin; select 1/0'),
    [front('F', int32(177), int16(0), int16(2), int32(1), Buffer.from('2'), int32(1), Buffer.from('3'), int16(0))],
    q('rollback'),
    several(
      2,
      query('select 1'),
      front('F', int32(177), int16(0), int16(2), int32(1), Buffer.from('2'), int32(1), Buffer.from('3'), int16(0)),
    ),
    several(
      1,
      run('selekt'),
      front('F', int32(177), int16(0), int16(2), int32(1), Buffer.from('2'), int32(1), Buffer.from('3'), int16(0)),
      sync(),
    ),
  ],
};

t.test('every byte of every answer is what the server itself answers', async (t) => {
  const twins = await startTwins(t, SETUP);
  for (const [name, steps] of Object.entries(scripts)) {
    const [direct, through] = [await enter(t, twins.direct), await enter(t, twins.gateway)];
    for (const [i, [sent, end = 'Z', count = 1]] of steps.entries()) {
      direct.client.send(sent);
      through.client.send(sent);
      const expected = (await direct.client.until(end, count)).map(shown);
      const got = (await through.client.until(end, count)).map(shown);
      if (got.join('\n') !== expected.join('\n'))
        t.same(got, expected, `${name}, step ${i}: ${sent.toString('latin1')}`);
    }
    t.pass(`${name}: ${steps.length} steps`);
    direct.client.socket.end(front('X'));
    through.client.socket.end(front('X'));
    t.same(await through.client.rest(), [], 'nothing was left over');
  }
});

t.test(
  'the greeting differs in nothing but the key and whose session it is, whatever is asked for in it',
  async (t) => {
    const twins = await startTwins(t);
    for (const parameters of [
      {},
      { application_name: 'tests', DateStyle: 'German', TimeZone: 'Asia/Tokyo', extra_float_digits: '2' },
      { options: '-c statement_timeout=5s -c search_path=pg_catalog --intervalstyle=iso_8601' },
      { options: '-cdefault_transaction_read_only=on -c application_name=two\\ words' },
      { client_encoding: 'UTF8', search_path: 'public, pg_catalog' },
    ]) {
      const [direct, through] = [await enter(t, twins.direct, parameters), await enter(t, twins.gateway, parameters)];
      const words = (hello: typeof direct.hello) => hello.filter(({ type }) => type !== 'K').map(shown);
      const account = shown({ type: 'S', body: Buffer.from(`session_authorization\0${twins.direct.user}\0`) });
      const principal = shown({ type: 'S', body: Buffer.from('session_authorization\0alice\0') });
      const expected = words(direct.hello).map((word) => (word === account ? principal : word));
      t.same(words(through.hello), expected, JSON.stringify(parameters));
      for (const name of ['statement_timeout', 'search_path', 'application_name', 'default_transaction_read_only']) {
        direct.client.send(query(`show ${name}`));
        through.client.send(query(`show ${name}`));
        t.same((await through.client.until()).map(shown), (await direct.client.until()).map(shown), name);
      }
    }
  },
);

t.test('a message cut anywhere, or sent byte by byte, is answered as if it came at once', async (t) => {
  const twins = await startTwins(t, SETUP);
  const [direct, through] = [await enter(t, twins.direct), await enter(t, twins.gateway)];
  const stream = Buffer.concat([
    run('select name from things where id = $1', '3'),
    sync(),
    query('select 1/0'),
    query('copy (select 1) to stdout'),
  ]);
  direct.client.send(stream);
  const expected = (await direct.client.until('Z', 3)).map(shown).join('\n');
  for (let at = 1; at < stream.length; at += 1) {
    through.client.send(stream.subarray(0, at));
    await new Promise((resolve) => setImmediate(resolve));
    through.client.send(stream.subarray(at));
    const got = (await through.client.until('Z', 3)).map(shown).join('\n');
    if (got !== expected) t.equal(got, expected, `cut at ${at}`);
  }
  for (const byte of stream) {
    through.client.send(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.equal((await through.client.until('Z', 3)).map(shown).join('\n'), expected, 'byte by byte');
});

t.test('a server that ends a session has the last word', async (t) => {
  const twins = await startTwins(t);
  for (const sent of [
    query('select pg_terminate_backend(pg_backend_pid())'),
    Buffer.concat([run('select 1'), run('select pg_terminate_backend(pg_backend_pid())'), run('select 2'), sync()]),
    query("set idle_session_timeout = '20ms'"),
    query("begin; set idle_in_transaction_session_timeout = '20ms'"),
    front('X'),
  ]) {
    const [direct, through] = [await enter(t, twins.direct), await enter(t, twins.gateway)];
    direct.client.send(sent);
    through.client.send(sent);
    t.same((await through.client.rest()).map(shown), (await direct.client.rest()).map(shown), sent.toString('latin1'));
  }
});
