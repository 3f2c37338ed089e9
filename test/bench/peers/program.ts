import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { endWithUs } from '../../support/watchdog.js';
import type { Scope } from '../scope.js';

/** Where Debian keeps what a user's PATH may lack. */
const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin`;

/** The command to type for a peer that is not installed; null when it is. */
export function missingProgram(
  name: string,
  debianPackage: string,
  versionFlag = '--version',
  code = 0,
): string | null {
  const { status } = spawnSync(name, [versionFlag], { stdio: 'ignore', env: { ...process.env, PATH } });
  return status === code
    ? null
    : `${name} is not installed: sudo apt-get install --no-install-recommends ${debianPackage}`;
}

/** Runs a peer until the scope ends, as this user or another; resolves when its port answers. */
export async function runProgram(
  scope: Scope,
  name: string,
  args: readonly string[],
  options: { port: number; uid?: number; gid?: number },
): Promise<number> {
  const { port, uid, gid } = options;
  const child = spawn(name, [...args], {
    env: { ...process.env, PATH },
    stdio: ['ignore', 'ignore', process.env.DAYPASS_BENCH_VERBOSE ? 'inherit' : 'ignore'],
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  });
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  const release = endWithUs(pid, 'QUIT');
  const exited = once(child, 'exit').then(() => false);
  scope.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(timer);
    release();
  });
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await answers(port)) return pid;
    const gone = await Promise.race([exited, new Promise<true>((resolve) => setTimeout(() => resolve(true), 25))]);
    if (gone === false) throw new Error(`${name} ended at its start; see DAYPASS_BENCH_VERBOSE=1`);
  }
  throw new Error(`${name} does not listen on port ${port}`);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
