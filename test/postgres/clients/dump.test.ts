/** pg_dump and pg_restore, of an installed PostgreSQL and against its own server. */
import { join } from 'node:path';
import t from 'tap';
import { command } from '../../support/commands.js';
import { dataFolder } from '../../support/folders.js';
import { installedPrograms, startInstalled } from './debian-server.js';
import { DATABASE, twinsOver, type Way } from './twins.js';

const programs = installedPrograms();
const skip = programs === null ? 'no PostgreSQL server is installed beside the embedded one' : false;

const SCHEMA = `
  create schema shop;
  create type shop.state as enum ('open', 'paid');
  create table shop.orders (id serial primary key, state shop.state default 'open', note text, raw bytea) partition by range (id);
  create table shop.orders_1 partition of shop.orders for values from (0) to (1000);
  create table shop.orders_2 partition of shop.orders default;
  insert into shop.orders (note, raw) select 'tab' || chr(9) || n, decode('00ff', 'hex') from generate_series(1, 3000) n;
  create index on shop.orders (state);
  create view shop.paid as select * from shop.orders where state = 'paid';
  create materialized view shop.counts as select state, count(*) from shop.orders group by state;
  create function shop.add(a int, b int) returns int language sql as 'select a + b';
  create function shop.touch() returns trigger language plpgsql as $$ begin new.note := 'x'; return new; end $$;
  create trigger touched before update on shop.orders_1 for each row execute function shop.touch();
  comment on table shop.orders is 'all of them';
  alter table shop.orders enable row level security;
  create policy mine on shop.orders for select using (state = 'open');
  select lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'))`;

const env = (way: Way) => ({ PGPASSWORD: way.password, LC_ALL: 'C' });
const where = (way: Way) => ['-h', way.host, '-p', String(way.port), '-U', way.user, '-w'];

t.test('a dump is the same, and what was dumped is restored through the gateway', { skip }, async (t) => {
  if (programs === null) return;
  const folder = await dataFolder(t);
  const server = await startInstalled(t, programs, [DATABASE, 'copy']);
  const { direct, gateway } = await twinsOver(t, server, server);
  const run = (program: string, way: Way, ...args: string[]) =>
    command(join(programs, program), [...where(way), ...args], { env: env(way), timeout: 60_000 });
  const sql = (text: string) => {
    const conninfo = `host=127.0.0.1 port=${direct.port} user=${direct.user} dbname=${DATABASE}`;
    return command('psql', ['-X', '-q', '-d', conninfo, '-c', text], { env: env(direct) });
  };
  t.match(await sql(SCHEMA), { code: 0 });
  const dump = async (way: Way, database: string) => {
    const { stdout, stderr, code } = await run('pg_dump', way, '-d', database);
    // Its newest versions put a random word around each dump.
    return { stdout: stdout.replace(/^\\(?:un)?restrict .*$/gm, ''), stderr, code };
  };
  const plain = await dump(direct, DATABASE);
  t.match(plain, { code: 0, stdout: /CREATE POLICY mine/ });
  t.same(await dump(gateway, DATABASE), plain, 'as text');
  const archive = join(folder, 'dump');
  t.match(
    await run('pg_dump', gateway, '-d', DATABASE, '-Fd', '-j', '2', '-f', archive),
    { code: 0, stderr: '' },
    'by two connections at once',
  );
  t.match(await run('pg_restore', direct, '-d', 'copy', archive), { code: 0, stderr: '' });
  t.same(await dump(direct, 'copy'), plain, 'what was dumped through the gateway is whole');
  t.match(await sql('drop schema shop cascade; select lo_unlink(oid) from pg_largeobject_metadata'), { code: 0 });
  t.match(await run('pg_restore', gateway, '-d', DATABASE, '-j', '2', archive), { code: 0, stderr: '' });
  t.same(await dump(direct, DATABASE), plain, 'what was restored through the gateway is whole');
});
