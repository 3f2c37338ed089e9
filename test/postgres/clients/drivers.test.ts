/** node-postgres and postgres.js: one script on each way, everything they hand to a program compared. */
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import postgres from 'postgres';
import t from 'tap';
import { sameOn, startTwins, type Way } from './twins.js';

const SETUP = `
  create table things (id int primary key, name text, price numeric, at timestamptz, doc jsonb, raw bytea, list int[]);
  insert into things select n, 'thing ' || n, n * 1.25, '2020-01-01Z'::timestamptz + n * interval '1 hour', jsonb_build_object('n', n),
    decode(lpad(to_hex(n), 4, '0'), 'hex'), array[n, n + 1] from generate_series(1, 500) n`;

/** An error as a program sees it, without where in a driver it was made. */
function seen(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const { stack: _, ...rest } = { ...thrown, message: thrown.message };
  return rest;
}

/** What becomes of each step: its value or its error, by name. */
async function steps(script: Readonly<Record<string, () => Promise<unknown>>>): Promise<Record<string, unknown>> {
  const out: Record<string, unknown> = {};
  for (const [name, step] of Object.entries(script)) out[name] = await step().catch(seen);
  return out;
}

const shape = (result: pg.QueryResult | pg.QueryResult[]): unknown =>
  Array.isArray(result)
    ? result.map(shape)
    : { command: result.command, rowCount: result.rowCount, rows: result.rows, fields: result.fields };

async function nodePostgres(way: Way): Promise<unknown> {
  const client = new pg.Client({ ...way, application_name: 'tests' });
  const heard: unknown[] = [];
  client.on('notice', ({ severity, code, message, hint }) => heard.push({ severity, code, message, hint }));
  client.on('notification', ({ channel, payload }) => heard.push({ channel, payload }));
  client.on('error', () => {});
  await client.connect();
  const q = (...args: [string | pg.QueryConfig, unknown[]?]) => client.query(...args).then(shape);
  const out = await steps({
    simple: () => q('select * from things where id < 4'),
    several: () => q("select 1; select 'two' as two; create temp table t (a int)"),
    empty: () => q(''),
    parameters: () =>
      q('select $1::int, $2::text, $3::jsonb, $4::bytea, $5::int[]', [
        1,
        null,
        { a: [1] },
        Buffer.from([0, 255]),
        [1, 2],
      ]),
    named: () => q({ name: 'n', text: 'select name from things where id = $1', values: [7] }),
    'named again': () => q({ name: 'n', text: 'select name from things where id = $1', values: [8] }),
    'as arrays': () => q({ text: 'select 1, 2, 1', rowMode: 'array' } as pg.QueryConfig),
    binary: () => q({ text: 'select id, raw from things where id = 3', values: [], binary: true } as pg.QueryConfig),
    'an error': () => q('select 1/0'),
    'an error with fields': () => q('insert into things values (1)'),
    'an error of a parameter': () => q('select $1::int', ['x']),
    'too few parameters': () => q('select $1::int, $2::int', [1]),
    notices: () => q("do $$ begin raise notice 'n' using hint = 'h'; raise warning 'w'; end $$"),
    listen: () => q('listen a'),
    notify: () => q("notify a, 'payload'"),
    'queued at once': () => Promise.all(['select 1', 'select 2', 'select 3'].map((text) => q(text))),
    'queued with an error': () =>
      Promise.all(['select 1', 'select 1/0', 'select 3'].map((text) => q(text).catch(seen))),
    transaction: async () => {
      await q('begin');
      const failed = await q('select 1/0').catch(seen);
      const aborted = await q('select 1').catch(seen);
      return { failed, aborted, end: await q('commit') };
    },
    cursor: async () => {
      const cursor = client.query(new Cursor('select id, name from things order by id'));
      const parts = [await cursor.read(3), await cursor.read(4), await cursor.read(1_000), await cursor.read(1)];
      await cursor.close();
      return parts.map((rows) => [rows.length, rows[0], rows.at(-1)]);
    },
    'a cursor that is closed early': async () => {
      const cursor = client.query(new Cursor('select generate_series(1, 100000) as n'));
      const [first] = await cursor.read(10);
      await cursor.close();
      return first;
    },
    'a cursor that fails': async () => {
      const cursor = client.query(new Cursor('select 1 / (n - 5) from generate_series(1, 10) n'));
      const failed = await cursor.read(20).catch(seen);
      await cursor.close();
      return failed;
    },
    'copy in': async () => {
      const stream = client.query(copyFrom('copy t from stdin'));
      await pipeline(Readable.from(Array.from({ length: 20_000 }, (_, i) => `${i}\n`)), stream);
      return [stream.rowCount, await q('select count(*), sum(a) from t')];
    },
    'copy in that fails': async () => {
      const stream = client.query(copyFrom('copy t from stdin'));
      return pipeline(Readable.from(['1\n', 'x\n', '2\n']), stream).catch(seen);
    },
    'copy out': async () => {
      const parts: Buffer[] = [];
      for await (const part of client.query(copyTo('copy (select * from things order by id) to stdout')))
        parts.push(part);
      return Buffer.concat(parts).toString();
    },
    'after all': () => q('select count(*) from t'),
  });
  await client.end();
  return { out, heard };
}

t.test('node-postgres sees the same: results, errors, notices, cursors, COPY', async (t) => {
  const twins = await startTwins(t, SETUP);
  await sameOn(t, twins, 'a client', nodePostgres);
  await sameOn(t, twins, 'a pool', async (way) => {
    const pool = new pg.Pool({ ...way, max: 4 });
    const ended: Promise<unknown>[] = [];
    pool.on('connect', (client) => ended.push(once(client, 'end')));
    const rows = await Promise.all(
      Array.from({ length: 60 }, (_, i) => pool.query('select $1::int * 2 as n, pg_sleep(0.001)', [i])),
    );
    const failed = await pool.query('selekt').catch(seen);
    await pool.end(); // does not wait for its connections
    await Promise.all(ended);
    return { rows: rows.map((result) => result.rows), failed };
  });
});

t.test('a cancel request through the gateway cancels the statement of its own session, and no other', async (t) => {
  const { gateway } = await startTwins(t);
  const one = new pg.Client({ ...gateway });
  const other = new pg.Client({ ...gateway });
  await Promise.all([one.connect(), other.connect()]);
  const sleeping = one.query('select pg_sleep(60)').catch(seen);
  await asleep(other);
  const bystander = other.query('select pg_sleep(0.5), 1 as one');
  const canceller = new pg.Client({ ...gateway });
  // pg keeps the key and the way to send it, and does not declare it.
  const key = one as unknown as { processID: number; secretKey: number };
  const connection = (
    canceller as unknown as {
      connection: {
        connect(p: number, h: string): void;
        cancel(p: number, s: number): void;
        on(e: string, f: () => void): void;
      };
    }
  ).connection;
  connection.on('connect', () => connection.cancel(key.processID, key.secretKey));
  connection.connect(gateway.port, gateway.host);
  t.match(await sleeping, { code: '57014' });
  t.equal((await bystander).rowCount, 1);
  await Promise.all([one.end(), other.end()]);
});

/** Resolves when the server runs `pg_sleep` for somebody else. */
async function asleep(client: pg.Client): Promise<void> {
  const text =
    "select from pg_stat_activity where query like 'select pg_sleep%' and state = 'active' and pid <> pg_backend_pid()";
  while ((await client.query(text)).rowCount === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function postgresJs(way: Way): Promise<unknown> {
  const heard: unknown[] = [];
  const sql = postgres({
    ...way,
    username: way.user,
    max: 1,
    onnotice: ({ severity, message }) => heard.push({ severity, message }),
  });
  const wrong = (thrown: unknown) => {
    const { query: _q, parameters: _p, ...rest } = seen(thrown) as Record<string, unknown>;
    return rest;
  };
  const out = await steps({
    tagged: () => sql`select * from things where id = ${3}`,
    'the prepared cache': () => Promise.all([1, 2, 3].map((id) => sql`select name from things where id = ${id}`)),
    columns: async () => (await sql`select id, name, doc from things limit 1`).columns,
    unsafe: () => sql.unsafe('select 1 as a; select 2 as b'),
    simple: () => sql`select 1 as a; select 2 as b`.simple(),
    described: async () => {
      const { name: _, ...described } = await sql`select ${1}::int, name from things`.describe();
      return described;
    },
    error: () => sql`select 1/0`.catch(wrong),
    'pipelined with errors': () =>
      Promise.all(
        Array.from({ length: 30 }, (_, i) =>
          (i % 7 === 3 ? sql`select 1 / ${0}::int` : sql`select ${i}::int as i`).catch(wrong),
        ),
      ),
    transaction: () =>
      sql.begin(async (tx) => [
        await tx`insert into things (id) values (900) returning id`,
        await tx`select count(*) from things`,
      ]),
    'a transaction that fails': () =>
      sql
        .begin(async (tx) => {
          await tx`insert into things (id) values (901)`;
          await tx`select 1/0`;
        })
        .catch(wrong),
    'a savepoint': () => sql.begin((tx) => tx.savepoint((s) => s`select 1/0`).catch(wrong)),
    'a cursor': async () => {
      const sizes: number[] = [];
      await sql`select id from things order by id`.cursor(60, (rows) => {
        sizes.push(rows.length);
      });
      return sizes;
    },
    'for each': async () => {
      let n = 0;
      await sql`select id from things`.forEach(() => {
        n += 1;
      });
      return n;
    },
    'copy in': async () => {
      await sql`create temp table c (a int, b text)`;
      const writable = await sql`copy c from stdin`.writable();
      const ended = once(writable, 'finish');
      for (let i = 0; i < 1_000; i += 1) writable.write(`${i}\tx\n`);
      writable.end();
      await ended;
      return sql`select count(*), sum(a) from c`;
    },
    'copy out': async () => {
      const parts: Buffer[] = [];
      for await (const part of await sql`copy (select id from things order by id) to stdout`.readable())
        parts.push(part);
      return Buffer.concat(parts).toString();
    },
    cancelled: () => {
      const query = sql`select pg_sleep(60)`;
      const failed = query.catch(wrong);
      setTimeout(() => query.cancel(), 200);
      return failed;
    },
    listen: () =>
      new Promise((resolve, reject) => {
        sql
          .listen('js', resolve)
          .then(() => sql.notify('js', 'payload'))
          .catch(reject);
      }),
    notice: () => sql`do $$ begin raise notice 'n'; end $$`,
  });
  await sql.end({ timeout: 5 });
  return { out: JSON.parse(JSON.stringify(out)), heard };
}

t.test('postgres.js sees the same, its pipelines and its prepared statements included', async (t) => {
  const twins = await startTwins(t, SETUP);
  await sameOn(t, twins, 'postgres.js', postgresJs);
});

const EDITING =
  '{ statements: [select, insert, update, delete, copy-in, copy-out], relations: [public.things, public.t] }';

/** What a role that may read and write its tables is refused of the scripts. */
const REFUSED = {
  nodePostgres: ['several', 'notices', 'listen', 'notify'],
  postgresJs: ['copy in', 'listen', 'notice'],
};

t.test('drivers see the same as a role that may read and write its tables, but for what it may not', async (t) => {
  const twins = await startTwins(t, `${SETUP}; create table t (a int)`, 'strict', EDITING);
  for (const [name, script] of Object.entries({ nodePostgres, postgresJs })) {
    const [direct, through] = await Promise.all([outOf(script, twins.direct), outOf(script, twins.gateway)]);
    const refused = Object.entries(through).filter(([, answer]) => isRefusal(answer));
    t.same(
      refused.map(([step]) => step),
      REFUSED[name as keyof typeof REFUSED],
      `${name}: what is refused`,
    );
    for (const [step] of refused) delete direct[step];
    t.same(Object.fromEntries(Object.entries(through).filter(([, answer]) => !isRefusal(answer))), direct, name);
  }
});

async function outOf(script: (way: Way) => Promise<unknown>, way: Way): Promise<Record<string, unknown>> {
  const { out } = (await script(way)) as { out: Record<string, unknown> };
  return out;
}

function isRefusal(answer: unknown): boolean {
  const text = JSON.stringify(answer) ?? '';
  return text.includes('"Daypass: ') && text.includes('"42501"');
}
