import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import t, { type Test } from 'tap';
import { startCluster } from '../../src/embedded/cluster.js';
import { startEmbeddedLedger } from '../../src/embedded/ledger.js';
import { createLog } from '../../src/log.js';
import { command, psql, start } from '../support/commands.js';
import { dataFolder } from '../support/folders.js';
import { freePort } from '../support/ports.js';

const log = createLog('silent');
const RUNNER = fileURLToPath(new URL('run-ledger.js', import.meta.url));

let made: Promise<string> | undefined;

/** A data directory whose ledger has been started before: a copy of one that was made once, which takes a moment, not seconds. */
async function startedBefore(test: Test): Promise<string> {
  made ??= dataFolder(t).then(async (folder) => {
    await (await startEmbeddedLedger(folder, log)).stop();
    await rm(join(folder, 'ledger/run'), { recursive: true, force: true });
    return folder;
  });
  const folder = await dataFolder(test);
  await command('cp', ['-a', join(await made, 'ledger'), folder]);
  return folder;
}

/** A ledger in a process of its own. */
async function elsewhere(t: Test, folder: string) {
  const process = start(globalThis.process.execPath, [RUNNER, folder], { timeout: 60_000 });
  t.teardown(async () => {
    process.process.kill('SIGTERM');
    await process.finished;
  });
  const url = /ready (\S+)/.exec(await process.shows(/ready \S+/))?.[1] ?? '';
  return { ...process, url };
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  client.on('error', () => {}); // the failing query tells
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

t.test(
  'the ledger keeps its data over a stop, durably, for a role that owns its database and nothing else',
  async (t) => {
    const folder = await dataFolder(t);
    const first = await startEmbeddedLedger(folder, log);
    await query(first.databaseUrl, 'create table kept as select 42 as n');
    t.same(await query(first.databaseUrl, 'select rolsuper from pg_roles where rolname = current_user'), [
      { rolsuper: false },
    ]);
    const settings = `select current_setting('fsync') f, current_setting('synchronous_commit') s, current_setting('server_encoding') e`;
    t.same(await query(first.databaseUrl, settings), [{ f: 'on', s: 'on', e: 'UTF8' }]);
    t.match(await psql(first.databaseUrl, 'select n from kept'), { stdout: '42\n' }, 'libpq reads the same address');
    await first.stop();
    await first.stop();
    const second = await startEmbeddedLedger(folder, log);
    t.teardown(() => second.stop());
    t.same(await query(second.databaseUrl, 'select n from kept'), [{ n: 42 }]);
  },
);

t.test('the ledger cannot be reached over TCP, nor over its socket without the password', async (t) => {
  const folder = await dataFolder(t);
  const ledger = await startEmbeddedLedger(folder, log);
  t.teardown(() => ledger.stop());
  t.same(await query(ledger.databaseUrl, `select current_setting('listen_addresses') as a`), [{ a: '' }]);
  const wrong = new pg.Client({ ...ledger.connection, password: 'guess' });
  await t.rejects(wrong.connect(), { code: '28P01' });
  t.equal((await stat(ledger.connection.host)).mode & 0o777, 0o700, 'the folder of the socket is closed to others');
  t.equal((await stat(join(folder, 'ledger/superuser'))).mode & 0o777, 0o600);
  t.equal((await stat(join(folder, 'ledger/owner'))).mode & 0o777, 0o600);
  t.notMatch(await readFile(join(folder, 'ledger/pg_hba.conf'), 'utf8'), /trust/);
});

t.test(
  'a gateway killed without a word does not keep the next one from starting, and what was committed is there',
  async (t) => {
    const folder = await startedBefore(t);
    const killed = await elsewhere(t, folder);
    await query(killed.url, 'create table kept as select 1 as n');
    const orphan = Number((await readFile(join(folder, 'ledger/data/postmaster.pid'), 'utf8')).split('\n')[0]);
    killed.process.kill('SIGKILL');
    await killed.finished;
    t.doesNotThrow(() => process.kill(orphan, 0), 'its database still runs');
    const next = await startEmbeddedLedger(folder, log);
    t.teardown(() => next.stop());
    t.same(await query(next.databaseUrl, 'select n from kept'), [{ n: 1 }]);
  },
);

t.test('a database killed together with its gateway recovers', async (t) => {
  const folder = await startedBefore(t);
  const killed = await elsewhere(t, folder);
  await query(killed.url, 'create table kept as select generate_series(1, 1000) as n');
  const server = Number((await readFile(join(folder, 'ledger/data/postmaster.pid'), 'utf8')).split('\n')[0]);
  const busy = query(killed.url, 'select pg_sleep(1)').catch(() => {}); // a backend that outlives its server for a moment
  await query(killed.url, 'select 1');
  killed.process.kill('SIGKILL');
  process.kill(server, 'SIGKILL');
  await killed.finished;
  const next = await startEmbeddedLedger(folder, log);
  t.teardown(() => next.stop());
  t.same(await query(next.databaseUrl, 'select count(*)::int as n from kept'), [{ n: 1000 }]);
  await busy;
});

t.test('a second gateway on the data directory of a living one is refused, and harms nothing', async (t) => {
  const folder = await startedBefore(t);
  const living = await elsewhere(t, folder);
  await t.rejects(startEmbeddedLedger(folder, log), { code: 'embedded_in_use', hint: /DAYPASS_DATA/ });
  t.same(await query(living.url, 'select 1 as n'), [{ n: 1 }]);
});

t.test('a lock file that names another program is not taken for a server', async (t) => {
  const folder = await startedBefore(t);
  const bystander = start('sleep', ['60']);
  t.teardown(() => bystander.process.kill());
  await writeFile(join(folder, 'ledger/data/postmaster.pid'), `${bystander.process.pid}\n`);
  const again = await startEmbeddedLedger(folder, log);
  t.teardown(() => again.stop());
  t.equal(bystander.process.exitCode, null, 'the other program was left alone');
});

t.test('a first start that was interrupted begins again', async (t) => {
  const folder = await dataFolder(t);
  const cluster = { name: 'ledger', dataRoot: folder, listen: 'socket', log } as const;
  await t.rejects(startCluster({ ...cluster, settings: { shared_buffers: 'nonsense' } }), {
    code: 'embedded_start',
    message: /shared_buffers/,
  });
  const ledger = await startEmbeddedLedger(folder, log);
  t.teardown(() => ledger.stop());
  t.ok(await query(ledger.databaseUrl, 'select 1'));
});

t.test('a data directory with a long path has its socket elsewhere, and works', async (t) => {
  const folder = join(await dataFolder(t), 'a'.repeat(90));
  const ledger = await startEmbeddedLedger(folder, log);
  t.teardown(() => ledger.stop());
  t.match(ledger.connection.host, /^\/tmp\/daypass-[0-9a-f]{12}$/);
  t.equal((await stat(ledger.connection.host)).mode & 0o777, 0o700);
  t.ok(await query(ledger.databaseUrl, 'select 1'));
});

t.test('over TCP only the listed users of the listed databases may come', async (t) => {
  const port = await freePort();
  const clients = [{ database: 'postgres', user: 'guest' }];
  const dataRoot = await dataFolder(t);
  const cluster = await startCluster({ name: 'tcp', dataRoot, listen: { host: '127.0.0.1', port, clients }, log });
  t.teardown(() => cluster.stop());
  const admin = new pg.Client({ ...cluster.superuser, database: 'postgres' });
  await admin.connect();
  await admin.query(`create role guest login password 'g'`);
  await admin.end();
  t.match(await psql(`postgres://guest:g@127.0.0.1:${port}/postgres`, 'select 1'), { code: 0 });
  t.match(await psql(`postgres://guest:x@127.0.0.1:${port}/postgres`, 'select 1'), { code: 2 });
  const { password } = cluster.superuser;
  const refused = await psql(`postgres://postgres:${password}@127.0.0.1:${port}/postgres`, 'select 1');
  t.match(refused, { code: 2, stderr: /no pg_hba.conf entry/ });
});
