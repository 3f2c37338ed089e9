/** psql and node-postgres as a reader of the samples: what the account itself is told is what a grant is told. */
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import t from 'tap';
import { command } from '../../support/commands.js';
import { sameOn, type Way } from './twins.js';
import { conninfo, libpqEnv, readerTwins } from './ways.js';

const twins = await readerTwins(t);

/** Everything psql lists; each asks the catalogs in its own way. */
const LISTS =
  `d dt d|orders d+|orders d+|order_summary d|order_items df df+|lower dn dn+ l l+ du dv dm di di+ ds dp dp|orders ddp dT dT+ dD dC da|count
  do|+ dO|C dL dx dy dF dFd dFp dFt dc|utf8* db dg des dew det dAc dAf dd dPt drds dX sv|order_summary z dconfig|work_mem drg dRp`
    .split(/\s+/)
    .map((list) => `\\${list.replace('|', ' ')}`);

async function psql(way: Way, input: string) {
  const { stdout, stderr, code } = await command('psql', ['-X', '-w', '-a', '-d', conninfo(way)], {
    input,
    env: libpqEnv(way),
  });
  return { stdout, stderr, code };
}

t.test("psql's lists show a reader through the gateway what they show the account itself", async (t) => {
  await sameOn(t, twins, 'every list', (way) => psql(way, LISTS.join('\n')));
  const { stdout, stderr } = await psql(twins.gateway, LISTS.join('\n'));
  t.equal(
    stderr
      .split('\n')
      .filter((line) => line.includes('Daypass'))
      .join('\n'),
    '',
    'none of them is refused',
  );
  for (const list of ['\\deu', '\\dRs'])
    t.match(
      await psql(twins.gateway, list),
      { stderr: /Daypass: select on pg_catalog\.\w+ is outside/ },
      'these may hold passwords',
    );
  t.match(stdout, /public \| orders +\| table/);
  t.match(stdout, /Table "public.orders"/);
});

const READING = String.raw`
select status, count(*) from orders group by 1 order by 1;
select id, status from orders where id = 7 \gx
select 'select ' || id from orders order by id limit 3 \gexec
\copy (select id, sku from order_items order by id limit 5) to pstdout csv header
copy order_summary to stdout;
prepare one (bigint) as select status from orders where id = $1;
execute one (7); deallocate one;
begin; declare c cursor for select id from orders order by id; fetch 3 from c; move 2 in c; fetch all from c; commit;
\set FETCH_COUNT 1000
select id from orders order by id;
explain (costs off) select * from orders where id = 7;
show server_version;
select 1/0;
begin read only; select 1/0; select 1; rollback;
select count(*) from orders;
`;

t.test('a psql script of a reader is answered word for word alike', async (t) => {
  await sameOn(t, twins, 'the script', (way) => psql(way, READING));
});

t.test('node-postgres reads alike: simple, prepared, cursors, COPY, and goes on after a refusal', async (t) => {
  await sameOn(t, twins, 'a reader', async (way) => {
    const client = new pg.Client({ ...way });
    await client.connect();
    const rows = async (...args: [string | pg.QueryConfig, unknown[]?]) => (await client.query(...args)).rows;
    const cursor = client.query(new Cursor('select id from orders order by id'));
    const parts = [(await cursor.read(10)).length, (await cursor.read(5_000)).length];
    await cursor.close();
    const copied: Buffer[] = [];
    for await (const part of client.query(copyTo('copy (select * from order_items order by id) to stdout')))
      copied.push(part);
    const refused = await client.query('delete from orders').catch(({ code }) => code);
    await client.query('begin');
    const inside = await client.query("update orders set status = 'paid'").catch(({ code }) => code);
    const aborted = await client.query('select 1').catch(({ code }) => code);
    await client.query('rollback');
    const out = {
      simple: await rows('select * from orders where id < 5 order by id'),
      prepared: [1, 2].map((id) => rows({ name: 'one', text: 'select * from orders where id = $1', values: [id] })),
      parts,
      copied: Buffer.concat(copied).toString(),
    };
    const prepared = await Promise.all(out.prepared);
    await client.end();
    // The account may not write in its read-only session, the grant has no rule for it.
    const code = way.name === 'direct' ? '25006' : '42501';
    t.same([refused, inside, aborted], [code, code, '25P02'], way.name);
    return { ...out, prepared };
  });
});
