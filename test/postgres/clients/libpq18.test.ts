/** psql over the libpq of PostgreSQL 18, which comes with the embedded server: protocol 3.2, direct TLS, SCRAM required. */
import { existsSync, readdirSync } from 'node:fs';
import { symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { serverBinaries } from '../../../src/embedded/binaries.js';
import { selfSigned } from '../../support/certificate.js';
import { command, start } from '../../support/commands.js';
import { dataFolder } from '../../support/folders.js';
import type { Database } from '../../support/postgres.js';
import { gatewayToOrders } from '../fixture.js';

const { postgres } = await serverBinaries(join('/tmp', `daypass-test-${process.getuid?.()}`));
const libraries = join(dirname(dirname(postgres)), 'lib');
const shipped = existsSync(libraries) ? readdirSync(libraries) : [];
const libpq = shipped.find((name) => /^libpq\.so\.5\.\d+$/.test(name));
const skip = libpq === undefined ? 'the embedded PostgreSQL has no libpq.so.5 on this platform' : false;

/** A folder with libpq and what it needs, and nothing that psql takes from the system. */
async function libraryPath(t: Test): Promise<string> {
  const folder = await dataFolder(t);
  await symlink(join(libraries, libpq ?? ''), join(folder, 'libpq.so.5'));
  for (const name of shipped.filter((one) => /^lib(?:ssl|crypto)\.so\.[\d.]+$/.test(one)))
    await symlink(join(libraries, name), join(folder, name));
  return folder;
}

/** A gateway with a certificate, and psql that reaches it with further options of libpq. */
async function ground(t: Test) {
  const folder = await dataFolder(t);
  const { cert, key } = await selfSigned();
  await writeFile(join(folder, 'cert.pem'), cert);
  await writeFile(join(folder, 'key.pem'), key, { mode: 0o600 });
  const settings = `drain: 0s\ntls: { cert: { file: ${folder}/cert.pem }, key: { file: ${folder}/key.pem } }`;
  const gateway = await gatewayToOrders(t, { settings });
  const env = { LD_LIBRARY_PATH: await libraryPath(t), LC_ALL: 'C.UTF-8' };
  const args = (user: string, options: string) => {
    const target = `host=127.0.0.1 port=${gateway.ports.postgres} dbname=orders-db user=${user} connect_timeout=20`;
    return ['-X', '-w', '-At', '-v', 'VERBOSITY=verbose', '-d', `${target} sslrootcert=${folder}/cert.pem ${options}`];
  };
  return {
    ...gateway,
    psql: (user: string, password: string, options: string, input: string) =>
      command('psql', args(user, options), { input, env: { ...env, PGPASSWORD: password } }),
    startPsql: (user: string, password: string, options: string, text: string) =>
      start('psql', [...args(user, options), '-c', text], { env: { ...env, PGPASSWORD: password } }),
  };
}

const NEWEST = 'min_protocol_version=3.2 max_protocol_version=3.2';
const DIRECT = 'sslmode=verify-full sslnegotiation=direct';
const SCRAM = 'require_auth=scram-sha-256 channel_binding=require';

const SCRIPT = String.raw`
select count(*) from orders;
prepare one (int) as select status from orders where id = $1;
execute one (3);
begin; declare c cursor for select id from orders order by id; fetch 2 from c; move 3 in c; fetch 1 from c; commit;
\copy (select id from orders order by id limit 2) to pstdout
delete from orders;
copy orders from stdin;
begin; select 1/0; select 1; rollback;
\set FETCH_COUNT 400
select id from orders where id in (1, 1000) order by id;
select 'after all';
`;
const ANSWERS = ['1000', 'PREPARE', 'paid', 'BEGIN', 'DECLARE CURSOR', '1', '2', 'MOVE 3', '6', 'COMMIT', '1', '2'];

t.test('a session of libpq 18 goes its whole way in each of its ways to connect', { skip }, async (t) => {
  const { issue, psql } = await ground(t);
  const { handle, id } = await issue({ service: 'orders-db' });
  for (const [user, options] of [
    ['alice', 'sslmode=disable max_protocol_version=3.0'],
    ['alice', `sslmode=disable ${NEWEST}`],
    ['alice', `sslmode=verify-full ${NEWEST}`],
    ['alice', `${DIRECT} ${NEWEST}`],
    [`alice+${id}`, `sslmode=disable ${NEWEST} require_auth=scram-sha-256`],
    [`alice+${id}`, `${DIRECT} ${NEWEST} ${SCRAM}`],
    [`alice+${id}`, `${DIRECT} max_protocol_version=latest ${SCRAM}`],
  ] as const) {
    const { stdout, stderr, code } = await psql(user, handle, options, SCRIPT);
    t.equal(code, 0, `${options}: ${stderr}`);
    t.same(stdout.trim().split('\n').slice(0, ANSWERS.length), ANSWERS, options);
    t.match(stdout.trim().split('\n').slice(-3), ['1', '1000', 'after all'], `${options}: the session stays usable`);
    t.same(
      stderr.match(/ERROR: {2}\w+/g),
      ['ERROR:  42501', 'ERROR:  42501', 'ERROR:  22012', 'ERROR:  25P02'],
      options,
    );
  }
});

t.test('what libpq 18 insists on and the gateway does not do is an error, never a weaker way', { skip }, async (t) => {
  const { issue, psql } = await ground(t);
  const { handle } = await issue({ service: 'orders-db' });
  const cleartext = await psql('alice', handle, `sslmode=disable ${SCRAM.split(' ')[0]}`, 'select 1');
  t.match(cleartext, { code: 2, stdout: '', stderr: /require_auth|authentication method/ });
  const unbound = await psql('alice', handle, `${DIRECT} channel_binding=require`, 'select 1');
  t.match(unbound, { code: 2, stdout: '', stderr: /channel binding/ });
});

t.test('a cancel with a key of protocol 3.2 reaches its statement, over direct TLS too', { skip }, async (t) => {
  const { issue, startPsql, orders } = await ground(t);
  const { handle, id } = await issue({ service: 'orders-db' });
  for (const options of [`sslmode=disable ${NEWEST} require_auth=scram-sha-256`, `${DIRECT} ${NEWEST} ${SCRAM}`]) {
    const sleep = startPsql(`alice+${id}`, handle, options, 'select pg_sleep(60)');
    await asleep(orders.database);
    sleep.process.kill('SIGINT');
    t.match(await sleep.finished, { code: 1, stderr: /57014: canceling statement due to user request/ }, options);
  }
});

t.test('libpq 18 is told why its session ends', { skip }, async (t) => {
  const { issue, startPsql } = await ground(t);
  const { handle } = await issue({ service: 'orders-db', for: '4s' });
  const { stderr, code } = await startPsql('alice', handle, `${DIRECT} ${NEWEST}`, 'select pg_sleep(60)').finished;
  t.match(stderr, /57P01: Daypass ended this session: the grant has expired/);
  t.equal(code, 2);
});

/** Resolves when somebody's `pg_sleep` runs. */
async function asleep(database: Database): Promise<void> {
  const text = "select 1 from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'";
  while ((await database.query(text)).length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
}
