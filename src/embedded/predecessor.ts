import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DaypassError } from '../errors.js';
import type { Log } from '../log.js';
import type { ClusterFiles } from './files.js';
import { birthmark, commandLine } from './process.js';

/** Milliseconds that an orphan gets for each way of being stopped: fast, immediate, killed. */
const PATIENCE: readonly (readonly [NodeJS.Signals, number])[] = [
  ['SIGINT', 20_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 5_000],
];

/**
 * Clears the way after a gateway that was killed: its PostgreSQL goes on without it. It is stopped rather than adopted: a
 * server that is our own child is one whose end we notice. What it had committed is kept.
 *
 * @param files of a cluster already claimed by this process
 * @throws DaypassError `embedded_orphan` when it does not end
 */
export async function stopPredecessor(files: ClusterFiles, log: Log): Promise<void> {
  const lockFile = join(files.data, 'postmaster.pid');
  const text = await readFile(lockFile, 'utf8').catch(() => '');
  const pid = Number(text.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1) return;
  if ((await birthmark(pid)) !== undefined && (await commandLine(pid)).includes(`-D ${files.data} `)) {
    log.warn({ pid }, 'stopping the database of a gateway that was killed');
    await end(pid);
  } else {
    await disown(lockFile, text);
  }
  // The socket's folder serves this cluster alone; its lock has the same trouble and guards nothing more.
  const left = await readdir(files.socketDirectory);
  await Promise.all(left.map((name) => rm(join(files.socketDirectory, name), { force: true })));
}

/**
 * The lock names a process that is no server: one that nobody has reaped yet, or another program that got the same id.
 * PostgreSQL would take either for a running server. It does not mind the id of its own parent, which is us; and the rest of
 * the file, by which it notices backends that outlived their server, stays.
 */
async function disown(lockFile: string, text: string): Promise<void> {
  const rest = text.includes('\n') ? text.slice(text.indexOf('\n')) : '\n';
  await writeFile(lockFile, `${process.pid}${rest}`);
}

async function end(pid: number): Promise<void> {
  const born = await birthmark(pid);
  for (const [signal, patience] of PATIENCE) {
    try {
      process.kill(pid, signal);
    } catch {
      return; // gone already
    }
    const until = performance.now() + patience;
    while (performance.now() < until) {
      if ((await birthmark(pid)) !== born) return;
      await delay(25); // the end of a process that is not our child gives no event
    }
  }
  throw new DaypassError('embedded_orphan', `the database server of an earlier gateway (process ${pid}) does not end`);
}
