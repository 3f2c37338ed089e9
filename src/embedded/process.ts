import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * What tells one process from a later one with the same id: its start time (on Linux with the boot it belongs to).
 * @returns undefined when no such process runs; one that has ended but was not reaped yet does not run
 */
export async function birthmark(pid: number): Promise<string | undefined> {
  return process.platform === 'linux' ? birthmarkOnLinux(pid) : birthmarkFromPs(pid);
}

/** The arguments a process was started with, joined by blanks; empty when it cannot be read. */
export async function commandLine(pid: number): Promise<string> {
  if (process.platform !== 'linux') return ps('command=', pid);
  const raw = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return raw.replaceAll('\0', ' ').trim();
}

/** proc(5): after the name in parentheses come the state (field 3) and, as field 22, the start in ticks since boot. */
async function birthmarkOnLinux(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  return `${boot.trim()}:${fields[19]}`;
}

async function birthmarkFromPs(pid: number): Promise<string | undefined> {
  const state = await ps('stat=', pid);
  if (state === '' || state.startsWith('Z')) return undefined;
  return ps('lstart=', pid);
}

async function ps(column: string, pid: number): Promise<string> {
  return run('ps', ['-o', column, '-p', String(pid)]).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );
}
