/** psql, pgbench and pg_dump: the same script on each way, and every word of the answer compared. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { command, pgbench, startPsql } from '../../support/commands.js';
import { dataFolder } from '../../support/folders.js';
import { sameOn, startTwins, type Way } from './twins.js';

const conninfo = ({ host, port, user, database }: Way) =>
  `host=${host} port=${port} user=${user} dbname=${database} connect_timeout=20`;
const env = (way: Way) => ({ PGPASSWORD: way.password, PGTZ: 'UTC', LC_ALL: 'C.UTF-8', PAGER: 'cat' });

/** What psql said and how it ended; where it had to be told who it is, without that. */
async function psql(way: Way, script: string, args: readonly string[] = []) {
  const options = ['-X', '-w', '-a', '-v', 'VERBOSITY=verbose', '-d', conninfo(way), ...args];
  const { stdout, stderr, code } = await command('psql', options, { input: script, env: env(way), timeout: 60_000 });
  // Whose process a notification came from is the one thing that differs.
  return { stdout: stdout.replace(/(server process with PID) \d+/g, '$1 …'), stderr, code };
}

const SCRIPT = String.raw`
create table orders (id int primary key, customer text, amount numeric);
\copy orders from pstdin csv header
id,customer,amount
1,ann,10.50
2,"bob, the second",20
3,,
\.
\copy (select * from orders order by id) to pstdout csv header
copy orders to stdout;
copy orders from stdin;
4	dora	\N
\.
copy orders from stdin;
x	bad	1
\.
\copy orders from '/nonexistent/file'
select * from orders order by id \gx
select 'select ' || id || ' as from_gexec' from orders order by id \gexec
select 'broken ' || id from orders order by id limit 2 \gexec
select count(*) as total, max(id) as last from orders \gset
\echo :total :last
\set name ann
select * from orders where customer = :'name';
select $1::int + $2::int \bind 1 2 \g
\set FETCH_COUNT 2
select * from generate_series(1, 7) n;
select 1 / (n - 5) from generate_series(1, 7) n;
\set FETCH_COUNT 0
select 1 \; select 2 \; select 3;
select 1 \; select 1/0 \; select 3;
\set ON_ERROR_ROLLBACK on
begin;
insert into orders values (10, 'kept', 1);
insert into orders values (10, 'twice', 1);
commit;
\set ON_ERROR_ROLLBACK off
\set AUTOCOMMIT off
insert into orders values (11, 'gone', 1);
rollback;
\set AUTOCOMMIT on
select id from orders order by id;
prepare one (int) as select customer from orders where id = $1;
execute one (1);
execute one ('x');
deallocate one;
execute one (1);
select customer, amount from orders where false \gdesc
select nothing \gdesc
listen news;
notify news, 'payload';
select 1;
\lo_import /etc/hostname 'a comment'
select count(*) from pg_largeobject_metadata;
\lo_export :LASTOID /dev/null
\lo_list
\lo_unlink :LASTOID
\lo_unlink 4242
do $$ begin raise notice 'a notice'; raise warning 'a warning' using detail = 'why', hint = 'how'; end $$;
create function add(a int, b int = 1) returns int language sql as 'select a + b';
select add(1), add(1, 2), add(b => 3, a => 4);
create function boom() returns int language plpgsql as $$ begin return 1 / 0; end $$;
select boom();
\errverbose
\d
\d orders
\df+ add
\dt+
\l nothing
\du nobody
\dn+
\sf add
\sv missing
\crosstabview
select n % 2 as even, n % 3 as third, n from generate_series(1, 5) n \crosstabview
\timing off
\encoding
\encoding SQL_ASCII
\encoding UTF8
select 'äöü ✓';
begin; declare c cursor for select * from orders order by id;
fetch 2 from c; move 1 in c; fetch all from c; close c; commit;
begin; declare h cursor with hold for select n from generate_series(1, 3) n; commit;
fetch all from h; close h;
explain (costs off) select * from orders where id = 1;
vacuum orders;
analyze orders;
create table pets (id serial primary key, name text not null check (name <> ''), owner int references orders);
insert into pets (name, owner) values ('rex', 1), ('tom', 99);
insert into pets (name) values ('');
insert into pets (name) values (null);
table pets;
begin; savepoint s; select 1/0; rollback to s; select 'after'; commit;
begin isolation level repeatable read read only; insert into pets (name) values ('no'); rollback;
select * from pg_listening_channels();
\if :{?total}
  select 'in the if';
\endif
\warn a warning of psql
\! echo from the shell
\unknown
select 1 +;
drop table pets, orders;
`;

t.test('a psql script is answered word for word alike', async (t) => {
  const twins = await startTwins(t);
  await sameOn(t, twins, 'everything psql does', (way) => psql(way, SCRIPT));
  await sameOn(t, twins, 'ON_ERROR_STOP', (way) =>
    psql(way, 'select 1;\nselect 1/0;\nselect 2;', ['-v', 'ON_ERROR_STOP=1']),
  );
  await sameOn(t, twins, 'a single transaction', (way) =>
    psql(way, 'create table x ();\nselect 1/0;', ['-1', '-v', 'ON_ERROR_STOP=1']),
  );
  await sameOn(t, twins, 'after it', (way) => psql(way, '\\d x'));
  await sameOn(t, twins, 'single steps of several options', (way) =>
    psql(way, '', ['-c', 'select 1; select 2', '-c', '\\echo x', '-Atc', 'select 3']),
  );
  await sameOn(t, twins, 'every list of psql', (way) =>
    psql(
      way,
      [
        'a',
        'A',
        'b',
        'c',
        'C',
        'd',
        'D',
        'e',
        'f',
        'F',
        'g',
        'i',
        'L',
        'm',
        'n',
        'o',
        'O',
        'p',
        'P',
        's',
        'S',
        't',
        'T',
        'u',
        'v',
        'x',
        'X',
        'y',
      ]
        .map((letter) => (letter === 'a' ? '\\da count' : letter === 'd' || letter === 'S' ? '\\dd' : `\\d${letter}`))
        .join('\n'),
    ),
  );
});

t.test('an interrupt during \\watch and during a statement reaches the server', async (t) => {
  const twins = await startTwins(t);
  await sameOn(t, twins, 'what psql says', async (way) => {
    const watch = startPsql(conninfo(way), ['-f', '-'], {
      env: env(way),
      input: "select 'seen' as watched \\watch 0.05\n",
    });
    await watch.shows(/seen[\s\S]*seen[\s\S]*seen/);
    watch.process.kill('SIGINT');
    await watch.finished;
    const sleep = startPsql(conninfo(way), ['-c', 'select pg_sleep(20)'], { env: env(way) });
    await asleep(way);
    sleep.process.kill('SIGINT');
    const { stdout, stderr, code } = await sleep.finished;
    t.match(stderr, /57014: canceling statement due to user request/);
    return { stdout, stderr, code };
  });
});

/** Resolves when the way's server runs `pg_sleep`. */
async function asleep(way: Way): Promise<void> {
  const { stdout } = await psql(
    way,
    `do $$ begin
      for i in 1 .. 2000 loop
        perform pg_stat_clear_snapshot();
        exit when exists (select from pg_stat_activity where query like 'select pg_sleep%' and state = 'active');
        perform pg_sleep(0.01);
      end loop; end $$;`,
  );
  if (!stdout.includes('DO')) throw new Error(`nobody sleeps ${way.name}`);
}

const PIPELINE = String.raw`
\set aid random(1, 1000)
\startpipeline
select abalance from pgbench_accounts where aid = :aid;
update pgbench_accounts set abalance = abalance + 1 where aid = :aid;
select 1;
\endpipeline
`;

t.test('pgbench makes its tables and runs in every mode, without one failed transaction', async (t) => {
  const { gateway } = await startTwins(t);
  const folder = await dataFolder(t);
  await writeFile(join(folder, 'pipeline.sql'), PIPELINE);
  const bench = (...args: string[]) => pgbench([...args, conninfo(gateway)], { env: env(gateway), timeout: 60_000 });
  t.match(await bench('-i', '-q', '-s', '1'), { code: 0 });
  for (const mode of ['simple', 'extended', 'prepared']) {
    for (const args of [['-S'], ['-N'], []]) {
      const { stdout, stderr, code } = await bench('-n', '-M', mode, '-c', '3', '-t', '20', ...args);
      t.match({ stdout, code }, { code: 0, stdout: /actually processed: 60\/60/ }, `${mode} ${args.join()} ${stderr}`);
    }
  }
  for (const mode of ['extended', 'prepared']) {
    const { stdout, stderr, code } = await bench(
      '-n',
      '-M',
      mode,
      '-c',
      '2',
      '-t',
      '20',
      '-f',
      join(folder, 'pipeline.sql'),
    );
    t.match({ stdout, code }, { code: 0, stdout: /actually processed: 40\/40/ }, `a pipeline, ${mode} ${stderr}`);
  }
});
