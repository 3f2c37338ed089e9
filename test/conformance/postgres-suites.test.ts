/*
 * PostgreSQL's own regression and isolation suites, run twice: directly, and through the gateway as a role that may do
 * anything. Every byte that psql and the isolation tester print must be the same.
 *
 * It takes a quarter of an hour and a source tree, so it runs by hand:
 *
 *   POSTGRES_SOURCE=<tree> TAP_TIMEOUT=3000 node dist/test/conformance/postgres-suites.test.js [test…]
 *
 * For the isolation suite the tree must be configured, and `make -C src/test/isolation isolationtester` be done.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startTwins, type Twins, type Way } from '../postgres/clients/twins.js';

const SOURCE = process.env.POSTGRES_SOURCE ?? '';
const SKIP = SOURCE === '' ? 'POSTGRES_SOURCE names no source tree of PostgreSQL' : false;
const NAMED = process.argv.slice(2);
const REGRESS = join(SOURCE, 'src/test/regress');
const ISOLATION = join(SOURCE, 'src/test/isolation');
const TESTER = join(ISOLATION, 'isolationtester');

/** What differs from one run to the next by itself, whichever way it goes. */
const BY_ITSELF = new Set([
  'largeobject', // names its own results folder
  'partition_prune', // counts buffers
  'select_parallel', // counts buffers, too
  'rules', // shows process and object numbers
  'triggers', // the line at which psql reads a notice that comes while it sends
]);

/** The tests of a schedule, in order. */
function schedule(file: string): string[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  const tests = lines.filter((line) => line.startsWith('test:')).flatMap((line) => line.slice(5).trim().split(/\s+/));
  return NAMED.length === 0 ? tests : tests.filter((name) => NAMED.includes(name));
}

/** Everything a command prints, both streams in the order they were written. */
function printed(words: readonly string[], env: Readonly<Record<string, string>>, input = ''): Promise<string> {
  const command = ['-c', 'exec "$@" 2>&1', 'sh', ...words];
  const child = spawn('sh', command, { env, cwd: REGRESS, stdio: ['pipe', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}

/** As pg_regress sets them. */
const environment = (way: Way) => ({
  PATH: process.env.PATH ?? '',
  HOME: '/nonexistent',
  PGPASSWORD: way.password,
  PGTZ: 'PST8PDT',
  PGDATESTYLE: 'Postgres, MDY',
  PGOPTIONS: '-c intervalstyle=postgres_verbose',
  PG_ABS_SRCDIR: REGRESS,
  PG_ABS_BUILDDIR: '/nonexistent',
  PG_LIBDIR: '/nonexistent',
  PG_DLSUFFIX: '.so',
  PGISOLATIONTIMEOUT: '30',
  LD_LIBRARY_PATH: join(SOURCE, 'src/interfaces/libpq'),
});

function regress(way: Way, name: string): Promise<string> {
  const target = ['-h', way.host, '-p', String(way.port), '-U', way.user, '-d', way.database];
  const variables = ['-v', 'HIDE_TABLEAM=on', '-v', 'HIDE_TOAST_COMPRESSION=on'];
  const { LD_LIBRARY_PATH: _, ...env } = environment(way); // psql has its own
  return printed(['psql', '-X', '-a', '-q', ...target, ...variables, '-f', join(REGRESS, 'sql', `${name}.sql`)], env);
}

function isolation(way: Way, name: string): Promise<string> {
  const { host, port, user, database, password } = way;
  const target = `host=${host} port=${port} user=${user} dbname=${database} password=${password}`;
  return printed([TESTER, target], environment(way), readFileSync(join(ISOLATION, 'specs', `${name}.spec`), 'utf8'));
}

async function compare(
  t: Test,
  { direct, gateway }: Twins,
  tests: readonly string[],
  run: (way: Way, name: string) => Promise<string>,
) {
  for (const name of tests) {
    const plain = (way: Way, text: string) => text.replaceAll(String(way.port), '<port>');
    const one = plain(direct, await run(direct, name));
    const other = plain(gateway, await run(gateway, name));
    if (BY_ITSELF.has(name)) t.comment(`${name}: ${one === other ? 'the same' : 'differs by itself'}`);
    else if (one === other) t.pass(name);
    else t.equal(other, one, name);
  }
}

t.test('the regression suite sees no difference', { skip: SKIP }, async (t) => {
  const twins = await startTwins(t, '', 'buffered');
  await compare(t, twins, schedule(join(REGRESS, 'parallel_schedule')), regress);
});

const untested = SKIP === false && !existsSync(TESTER) ? `${TESTER} is not built` : SKIP;

t.test('the isolation suite sees no difference', { skip: untested }, async (t) => {
  const twins = await startTwins(t, '', 'buffered');
  await compare(t, twins, schedule(join(ISOLATION, 'isolation_schedule')), isolation);
});
