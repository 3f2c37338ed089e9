import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Test } from 'tap';
import { serverIdentity } from '../../src/embedded/account.js';
import { type Cluster, startCluster } from '../../src/embedded/cluster.js';
import { own } from '../../src/embedded/files.js';
import { createLog } from '../../src/log.js';
import { FAST_FOLDERS } from './folders.js';
import { freePort } from './ports.js';
import { SMALL_SERVER, templateCluster } from './template.js';
import { endWithUs } from './watchdog.js';

const run = promisify(execFile);

/** A whole PostgreSQL of this test's own, listening on loopback TCP and on a socket. */
export interface PostgresServer {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** The superuser, who may come over TCP here. */
  readonly user: string;
  readonly password: string;
  readonly pid: number;
  /** The folder of its socket (0700). */
  readonly socketDirectory: string;
  /** `postgres://…` of the superuser for one database. */
  url(database?: string): string;
  /** A client configuration of the superuser for one database. */
  config(database?: string): { host: string; port: number; user: string; password: string; database: string };
  /** SIGSTOP to the postmaster and all of its processes: nothing answers, nothing is closed. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Crashes it: SIGQUIT, immediate shutdown without a checkpoint. */
  crash(): Promise<void>;
  /** Starts it again on the same port and data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface PostgresOptions {
  /** More settings; given the folder where `files` are. */
  readonly settings?: (folder: string) => Readonly<Record<string, string>>;
  /** Files (keys, certificates) written 0600 for the server's user before it starts. */
  readonly files?: Readonly<Record<string, string>>;
  /** true: `fsync` and all that belongs to it stay on, for tests about durability. */
  readonly durable?: boolean;
}

/** A database of this test's own. */
export interface Database {
  readonly server: PostgresServer;
  readonly name: string;
  readonly url: string;
  readonly config: { host: string; port: number; user: string; password: string; database: string };
  /** Runs one statement (or several without parameters) as the superuser, on any of a few connections. */
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<R[]>;
  /** A connected client, closed when the test ends. */
  client(): Promise<pg.Client>;
}

const FAST = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };

let shared: Promise<PostgresServer> | undefined;
let databases = 0;

/** The server that all tests of this file share, started at the first call and stopped when the file ends. */
export function sharedPostgres(): Promise<PostgresServer> {
  // Imported here: whoever starts servers without being a test (the bench) must not start a test run.
  shared ??= import('tap').then(({ default: root }) => startPostgres(root));
  return shared;
}

/** A fresh, empty database on the shared server (or on `server`), dropped when `t` ends. */
export async function freshDatabase(t: Test, server?: PostgresServer, template = 'template0'): Promise<Database> {
  const host = server ?? (await sharedPostgres());
  databases += 1;
  const name = `test_${process.pid}_${databases}`;
  const maker = () => poolOf(host.config('postgres'));
  await maker().query(`create database ${name} template ${template}`);
  const config = host.config(name);
  t.teardown(async () => {
    await closePools((key) => key === `${host.port}/${name}`);
    await maker()
      .query(`drop database if exists ${name} with (force)`)
      .catch(() => {});
  });
  return {
    server: host,
    name,
    url: host.url(name),
    config,
    query: async (sql, values) => (await poolOf(config).query(sql, values)).rows,
    client: () => connected(t, config),
  };
}

/** A connected client that is closed when `t` ends. */
export async function connected(t: Test, config: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(config);
  client.on('error', () => {}); // a server that ends is what some tests are about
  await client.connect();
  t.teardown(() => client.end().catch(() => {}));
  return client;
}

/** Starts a PostgreSQL of the test's own (about a third of a second after the first on a machine), stopped when `t` ends. */
export async function startPostgres(t: Pick<Test, 'teardown'>, options: PostgresOptions = {}): Promise<PostgresServer> {
  const dataRoot = await mkdtemp(join(options.durable ? '/tmp' : FAST_FOLDERS, 'dp-test-'));
  await chmod(dataRoot, 0o711);
  await copyTemplate(dataRoot);
  const folder = join(dataRoot, 'pg');
  await writeFiles(folder, options.files ?? {});
  const port = await freePort();
  const settings = { ...SMALL_SERVER, ...(options.durable ? {} : FAST), ...options.settings?.(folder) };
  const launch = () => watchedCluster(dataRoot, port, settings);
  let running = await launch();
  t.teardown(async () => {
    await closePools((key) => key.startsWith(`${port}/`));
    await running.stop();
    await rm(dataRoot, { recursive: true, force: true });
  });
  const { user, password, host: socketDirectory } = running.cluster.superuser;
  const config = (database = 'postgres') => ({ host: '127.0.0.1', port, user, password, database });
  return {
    host: '127.0.0.1',
    port,
    user,
    password,
    socketDirectory,
    get pid() {
      return running.cluster.pid;
    },
    url: (database = 'postgres') => `postgres://${user}:${password}@127.0.0.1:${port}/${database}`,
    config,
    pause: () => signalAll(running.cluster.pid, 'SIGSTOP'),
    resume: () => signalAll(running.cluster.pid, 'SIGCONT'),
    crash: async () => {
      process.kill(running.cluster.pid, 'SIGQUIT');
      await running.stop();
    },
    restart: async () => {
      await running.stop();
      running = await launch();
    },
    stop: () => running.stop(),
  };
}

async function watchedCluster(dataRoot: string, port: number, settings: Readonly<Record<string, string>>) {
  const clients = [{ database: 'all', user: 'all' }];
  const log = createLog('error');
  const listen = { host: '127.0.0.1', port, clients };
  const cluster: Cluster = await startCluster({ name: 'pg', dataRoot, listen, log, settings });
  const release = endWithUs(cluster.pid, 'QUIT', dataRoot);
  const stop = async () => {
    await signalAll(cluster.pid, 'SIGCONT').catch(() => {}); // a paused server would never see its end
    await cluster.stop();
    release();
  };
  return { cluster, stop };
}

async function copyTemplate(dataRoot: string): Promise<void> {
  await run('cp', ['-a', join(await templateCluster(), 'pg'), join(dataRoot, 'pg')]);
  await rm(join(dataRoot, 'pg', 'run'), { recursive: true, force: true });
  if (await serverIdentity()) await chmod(join(dataRoot, 'pg'), 0o711);
}

async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  const owner = await serverIdentity();
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content, { mode: 0o600 });
    await own(join(folder, name), owner);
  }
}

/** The postmaster leads no process group of its backends' (each starts its own session), so its children are asked for. */
async function signalAll(pid: number, signal: NodeJS.Signals): Promise<void> {
  const { stdout } = await run('ps', ['-o', 'pid=', '--ppid', String(pid)]).catch(() => ({ stdout: '' }));
  for (const one of [pid, ...stdout.split(/\s+/).filter(Boolean).map(Number)]) {
    try {
      process.kill(one, signal);
    } catch {
      // a backend that ended meanwhile
    }
  }
}

/** Connecting costs more than most of what is asked: a test that waits for a row would spend its time with it. */
const pools = new Map<string, pg.Pool>();

function poolOf(config: pg.ClientConfig): pg.Pool {
  const key = `${config.port}/${config.database}`;
  const known = pools.get(key);
  if (known !== undefined) return known;
  const pool = new pg.Pool({ ...config, max: 3, idleTimeoutMillis: 2_000, allowExitOnIdle: true });
  pool.on('error', () => {}); // a server that ends is what some tests are about
  pools.set(key, pool);
  return pool;
}

async function closePools(isMeant: (key: string) => boolean): Promise<void> {
  const ours = [...pools].filter(([key]) => isMeant(key));
  for (const [key] of ours) pools.delete(key);
  await Promise.all(ours.map(([, pool]) => pool.end().catch(() => {})));
}
