// The programs that the tests run besides Node: found, or installed on Debian and its kin when we are root.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './build.mjs';

/**
 * Command, and the Debian package that has it. `optional` ones are installed, not insisted on. What is no command says itself
 * whether it is there. A JDK is too heavy to be installed for one test: the driver is wanted only beside one.
 */
const TOOLS = [
  { command: 'redis-server', package: 'redis-server' },
  { command: 'psql', package: 'postgresql-client' },
  { command: 'curl', package: 'curl' },
  { command: 'ps', package: 'procps' },
  { command: 'chromium', package: 'chromium', optional: true },
  { command: 'nginx', package: 'nginx-light', optional: true, present: () => existsSync('/usr/sbin/nginx') },
  { command: 'psycopg', package: 'python3-psycopg', optional: true, present: hasPsycopg },
  { command: 'JDBC', package: 'libpostgresql-jdbc-java', optional: true, present: hasJdbc },
];
const DEBIAN_POSTGRES = '/usr/lib/postgresql';

/**
 * Makes sure that the tests' programs are there.
 * @returns folders to put before PATH
 * @throws with the command to type when something is missing and cannot be installed from here
 */
export function tools() {
  let missing = absent();
  if (missing.length > 0 && isRoot() && works('apt-get')) {
    apt(missing.map((tool) => tool.package));
    missing = absent();
  }
  const needed = missing.filter((tool) => !tool.optional);
  if (needed.length > 0) throw new Error(sentence(needed));
  return pgbenchFolder();
}

function absent() {
  return TOOLS.filter(({ command, present }) => !(present ? present() : works(command)));
}

/** Debian's own Python has Debian's psycopg; another may come first on the PATH. */
function hasPsycopg() {
  return ['/usr/bin/python3', 'python3'].some((one) => spawnSync(one, ['-c', 'import psycopg']).status === 0);
}

function hasJdbc() {
  return existsSync('/usr/share/java/postgresql.jar') || !works('javac');
}

function sentence(needed) {
  const names = needed.map((tool) => tool.command).join(', ');
  const packages = needed.map((tool) => tool.package).join(' ');
  return `the tests need ${names}. On Debian and Ubuntu: sudo apt-get install --no-install-recommends ${packages}`;
}

/**
 * Debian keeps pgbench in the package of the server, whose installation would make and start a cluster. Only its file is
 * taken out of that package.
 */
function pgbenchFolder() {
  if (works('pgbench')) return [];
  const version = existsSync(DEBIAN_POSTGRES) ? readdirSync(DEBIAN_POSTGRES).sort().at(-1) : undefined;
  if (version === undefined) throw new Error('the tests need pgbench: install it (it comes with PostgreSQL)');
  const cache = join(root, 'node_modules/.cache/pgbench', version);
  const folder = join(cache, 'usr/lib/postgresql', version, 'bin');
  if (!existsSync(join(folder, 'pgbench'))) unpack(`postgresql-${version}`, cache);
  if (existsSync(join(folder, 'pgbench'))) return [folder];
  throw new Error(`the tests need pgbench. On Debian and Ubuntu: sudo apt-get install postgresql-${version}`);
}

function unpack(name, folder) {
  mkdirSync(folder, { recursive: true });
  run('apt-get', ['download', name], { cwd: folder });
  const archive = readdirSync(folder).find((file) => file.endsWith('.deb'));
  if (archive) run('dpkg-deb', ['-x', archive, folder], { cwd: folder });
}

/** RUNLEVEL=1 keeps Debian's packages from starting their services. */
function apt(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  console.error(`daypass: installing ${packages.join(', ')} for the tests …`);
  run('apt-get', ['-qq', 'update'], { env });
  run('apt-get', ['-qq', '-y', 'install', '--no-install-recommends', ...packages], { env });
}

function run(command, args, options) {
  return spawnSync(command, args, { stdio: ['ignore', 2, 2], ...options }).status === 0;
}

function works(command) {
  const flag = command === 'ps' ? '-p1' : '--version';
  return spawnSync(command, [flag], { stdio: 'ignore' }).status === 0;
}

function isRoot() {
  return process.getuid?.() === 0;
}
