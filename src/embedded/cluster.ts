import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { serverIdentity } from './account.js';
import { serverBinaries } from './binaries.js';
import { claim } from './claim.js';
import { type ClusterFiles, keptSecret, makeFolders } from './files.js';
import { initialise, SUPERUSER, type TcpClient, writeAccessRules } from './initialise.js';
import { stopPredecessor } from './predecessor.js';
import { type Server, type ServerOptions, startServer } from './server.js';

/** Where a cluster listens besides its socket, and who may come in there (with a password, always). */
export interface TcpListen {
  readonly host: string;
  /** A function is asked once the server of an earlier gateway, which may still hold the port, has ended. */
  readonly port: number | (() => Promise<number>);
  readonly clients: readonly TcpClient[];
}

export interface ClusterOptions {
  /** The folder inside `dataRoot`: `ledger` or `samples`. */
  readonly name: string;
  /** Absolute; made when missing. */
  readonly dataRoot: string;
  readonly listen: 'socket' | TcpListen;
  readonly log: Log;
  /** More settings, as `postgresql.conf` names them; they win. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A PostgreSQL of our own, running. */
export interface Cluster {
  /** How the superuser connects over the socket; name a database besides. */
  readonly superuser: { host: string; port: number; user: string; password: string };
  readonly files: ClusterFiles;
  readonly pid: number;
  /** Resolves when the server has ended, wanted or not. */
  readonly exited: Promise<void>;
  /** Fast shutdown; waits until the server has ended. May be called again. */
  stop(): Promise<void>;
}

const SOCKET_PORT = 5432;

/**
 * Starts the PostgreSQL that ships with the package on a data directory of ours, made at the first start and kept.
 * Every connection needs a password (SCRAM), over the socket too. A server left by a gateway that was killed is stopped
 * first; a data directory whose gateway lives is refused.
 *
 * @throws DaypassError `embedded_*`, each with a hint
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { name, dataRoot, listen, log } = options;
  const owner = await serverIdentity();
  const binaries = await serverBinaries(dataRoot);
  const files = await makeFolders(dataRoot, name, owner);
  const release = await claim(files.claim);
  try {
    await stopPredecessor(files, log);
    const password = await keptSecret(files.superuserPassword);
    await initialise(binaries, files, password, owner);
    await writeAccessRules(files, listen === 'socket' ? [] : listen.clients);
    const port = listen === 'socket' ? SOCKET_PORT : await portOf(listen);
    const superuser = { host: files.socketDirectory, port, user: SUPERUSER, password };
    const settings = { ...settingsFor(files, port, listen === 'socket' ? '' : listen.host), ...options.settings };
    const server = await startWhenFree({
      binaries,
      files,
      owner,
      settings,
      probe: { ...superuser, database: 'postgres' },
    });
    log.info({ cluster: name, version: binaries.version, pid: server.pid }, 'embedded PostgreSQL runs');
    return cluster(superuser, files, server, release);
  } catch (failure) {
    await release();
    throw failure;
  }
}

/** Backends of a killed server finish their statement before they notice; PostgreSQL refuses to start beside them. */
async function startWhenFree(options: ServerOptions): Promise<Server> {
  for (let tries = 40; ; tries -= 1) {
    try {
      return await startServer(options);
    } catch (failure) {
      if (tries === 0 || !messageOf(failure).includes('is still in use')) throw failure;
      await delay(250);
    }
  }
}

async function portOf({ port }: TcpListen): Promise<number> {
  return typeof port === 'number' ? port : port();
}

function cluster(superuser: Cluster['superuser'], files: ClusterFiles, server: Server, release: () => Promise<void>) {
  const stop = async () => {
    await server.stop();
    await release();
  };
  return { superuser, files, pid: server.pid, exited: server.exited, stop };
}

/** Durable, reachable by the socket's folder, and silent about the text of statements, which may hold secrets. */
function settingsFor(files: ClusterFiles, port: number, addresses: string): Record<string, string> {
  return {
    listen_addresses: addresses,
    port: String(port),
    unix_socket_directories: files.socketDirectory,
    unix_socket_permissions: '0700',
    hba_file: files.accessRules,
    max_connections: '200',
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    password_encryption: 'scram-sha-256',
    log_destination: 'stderr',
    logging_collector: 'off',
    log_min_messages: 'warning',
    log_min_error_statement: 'panic',
    timezone: 'UTC',
    log_timezone: 'UTC',
  };
}

/** Where and as whom to connect, complete. */
export interface Connection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** A connection string that libpq and node-postgres both read, for a connection whose host is a socket's folder. */
export function connectionUrl(connection: Connection): string {
  const query = new URLSearchParams({ host: connection.host, port: String(connection.port) });
  const who = `${encodeURIComponent(connection.user)}:${encodeURIComponent(connection.password)}`;
  return `postgres://${who}@/${encodeURIComponent(connection.database)}?${query}`;
}
