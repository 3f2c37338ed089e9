import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { lstat, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serverIdentity } from '../../src/embedded/account.js';
import { serverBinaries } from '../../src/embedded/binaries.js';
import { type Cluster, connectionUrl, startCluster } from '../../src/embedded/cluster.js';
import { keptSecret, makeFolders } from '../../src/embedded/files.js';
import { initialise } from '../../src/embedded/initialise.js';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/recording/database.js';
import { migrate } from '../../src/recording/migrate.js';

/** Told apart by name from what was made otherwise before. */
const FORM = 2;
/** In every server of the tests: a database that is migrated, to be copied. */
export const LEDGER_TEMPLATE = 'ledger_template';

/** The settings of every server of the tests; the template is made with them too, since a standby's may not be below them. */
export const SMALL_SERVER = {
  ...{ shared_buffers: '32MB', max_wal_size: '64MB', min_wal_size: '32MB', max_connections: '150' },
  // Thousands of connections are opened, and none of them has a password that is worth guessing.
  scram_iterations: '1',
  // Processes that nothing here needs.
  ...{ io_method: 'sync', max_logical_replication_workers: '0', autovacuum: 'off' },
};

const MIGRATIONS = fileURLToPath(new URL('../../src/recording/migrations/', import.meta.url));

/**
 * A folder with the data of a server that was made, and stopped. initdb and our migrations take seconds, a copy of their result
 * a moment: one is kept for each version of both and each user, beside the other temporary files.
 * @throws when it belongs to someone else
 */
export async function templateCluster(): Promise<string> {
  const { version } = await serverBinaries(prefix());
  const template = `${prefix()}-${version}-${FORM}-${contents()}`;
  if (!existsSync(template)) await makeTemplate(template);
  if ((await lstat(template)).uid !== process.getuid?.()) throw new Error(`${template} belongs to someone else`);
  return template;
}

function prefix(): string {
  return join('/tmp', `daypass-test-${process.getuid?.()}`);
}

/** Of what a template is made from: the migrations and this file. */
function contents(): string {
  const hash = createHash('sha256').update(readFileSync(fileURLToPath(import.meta.url)));
  for (const name of readdirSync(MIGRATIONS).sort()) hash.update(name).update(readFileSync(join(MIGRATIONS, name)));
  return hash.digest('hex').slice(0, 12);
}

async function makeTemplate(template: string): Promise<void> {
  const draft = await mkdtemp(`${template}.`);
  const [owner, binaries] = [await serverIdentity(), await serverBinaries(prefix())];
  const files = await makeFolders(draft, 'pg', owner);
  // Smaller files of its log than a server has by itself.
  await initialise(await binaries, files, await keptSecret(files.superuserPassword), owner, false);
  const log = createLog('error');
  const settings = { ...SMALL_SERVER, fsync: 'off' };
  const cluster = await startCluster({ name: 'pg', dataRoot: draft, listen: 'socket', log, settings });
  const { superuser } = cluster;
  await makeLedger((database) => connectionUrl({ ...superuser, database }), superuser).finally(() => cluster.stop());
  await rename(draft, template).catch(() => rm(draft, { recursive: true, force: true })); // another file was first
}

type Superuser = Cluster['superuser'];

async function makeLedger(url: (database: string) => string, { user, password }: Superuser): Promise<void> {
  const maker = openDatabase(url('postgres'), { max: 1 });
  // Once more, with fewer rounds than initdb gave it: the tests' queries log in by it thousands of times.
  await maker.query(`alter role ${user} password '${password}'`);
  await maker.query(`create database ${LEDGER_TEMPLATE} template template0`).finally(() => maker.end());
  const pool = openDatabase(url(LEDGER_TEMPLATE), { max: 1 });
  await migrate(pool).finally(() => pool.end());
}
