import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, rename, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { DaypassError, errorOf, messageOf } from '../errors.js';
import type { Identity } from './account.js';
import type { Binaries } from './binaries.js';
import type { ClusterFiles } from './files.js';
import { serverEnvironment } from './initialise.js';

/** Milliseconds for the first answer; recovery after a crash is part of it. */
const START_LIMIT = 120_000;
/** Milliseconds for a fast shutdown, its checkpoint included, before an immediate one. */
const STOP_LIMIT = 20_000;
/** Bytes of log kept before it moves to `postgres.log.old` at the next start. */
const LOG_LIMIT = 5_000_000;

/** What starts a server on an initialised cluster. */
export interface ServerOptions {
  readonly binaries: Binaries;
  readonly files: ClusterFiles;
  readonly owner: Identity | undefined;
  /** Settings as `postgresql.conf` names them. */
  readonly settings: Readonly<Record<string, string>>;
  /** How to ask whether it answers. */
  readonly probe: pg.ClientConfig;
}

/** A running `postgres`, our own child. */
export interface Server {
  readonly pid: number;
  /** Resolves when the process has ended, for whatever reason. */
  readonly exited: Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts `postgres` and waits until a real connection answers.
 * It gets a session of its own, so that Ctrl-C in a terminal reaches the gateway alone, which stops it when the last record
 * is written.
 * @throws DaypassError `embedded_start` with the end of the server's log
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { binaries, files, owner } = options;
  const log = await openLog(files.log);
  const from = (await log.stat()).size;
  const settings = Object.entries(options.settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(binaries.postgres, ['-D', files.data, ...settings], {
    ...owner,
    cwd: files.base,
    env: serverEnvironment,
    stdio: ['ignore', log.fd, log.fd], // a file, not a pipe: a pipe would block the server while the gateway is busy
    detached: true,
  });
  try {
    await once(child, 'spawn');
    const server = watched(child);
    await answers(child, options.probe).catch(async (failure: unknown) => {
      await server.stop();
      throw failure;
    });
    return server;
  } catch (cause) {
    const said = await tail(files.log, from);
    throw new DaypassError('embedded_start', `PostgreSQL did not start: ${messageOf(cause)}\n${said}`.trim(), {
      cause,
    });
  } finally {
    await log.close();
  }
}

function watched(child: ChildProcess): Server {
  const { pid } = child;
  if (pid === undefined) throw new Error('a process that has spawned has an id');
  const exited = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
  const onExit = () => void child.kill('SIGINT'); // a gateway that leaves without stopping it, as after a fault
  process.once('exit', onExit);
  void exited.then(() => process.removeListener('exit', onExit));
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= stopChild(child, exited);
    return stopping;
  };
  return { pid, exited, stop };
}

/** Fast shutdown: sessions are ended, what was committed is kept, and the next start needs no recovery. */
async function stopChild(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGINT');
  const timer = setTimeout(() => child.kill('SIGQUIT'), STOP_LIMIT);
  await exited;
  clearTimeout(timer);
}

async function answers(child: ChildProcess, probe: pg.ClientConfig): Promise<void> {
  const until = performance.now() + START_LIMIT;
  for (;;) {
    const failure = await attempt(probe);
    if (failure === undefined) return;
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the server ended');
    if (performance.now() > until || !isNotYet(failure)) throw failure;
    await delay(30);
  }
}

async function attempt(probe: pg.ClientConfig): Promise<Error | undefined> {
  const client = new pg.Client({ ...probe, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {}); // told by the promise as well
  try {
    await client.connect();
    await client.query('select 1');
    return undefined;
  } catch (failure) {
    return errorOf(failure);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Anything but a wrong password or a missing role may pass while a server starts. */
function isNotYet(failure: Error): boolean {
  return !('code' in failure && typeof failure.code === 'string' && /^(28|3D)/.test(failure.code));
}

async function openLog(path: string) {
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (size > LOG_LIMIT) await rename(path, `${path}.old`);
  return open(path, 'a+', 0o600);
}

async function tail(path: string, from: number): Promise<string> {
  const file = await open(path, 'r');
  const { size } = await file.stat();
  const start = Math.max(from, size - 2_000);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.max(0, size - start)), 0, size - start, start);
  await file.close();
  return buffer.toString('utf8', 0, bytesRead).trim();
}
