import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a command left behind. */
export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  /** The exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  /** Leaves standard input open, for what is typed later. */
  readonly typing?: boolean;
  readonly cwd?: string;
  /** Milliseconds after which it is killed; 30,000 unless told. */
  readonly timeout?: number;
}

/** A command under way: its process, and what it will have left behind. */
export interface Running {
  readonly process: ChildProcessWithoutNullStreams;
  readonly finished: Promise<Finished>;
  /** Resolves when standard output or error has shown the pattern; rejects when the command ends without it. */
  shows(pattern: RegExp): Promise<string>;
}

/** Starts a command and collects what it writes; it is killed when its time is up. */
export function start(command: string, args: readonly string[], options: CommandOptions = {}): Running {
  const env = { ...process.env, ...options.env };
  const child = spawn(command, [...args], { env, ...(options.cwd === undefined ? {} : { cwd: options.cwd }) });
  const seen = { stdout: '', stderr: '', timedOut: false };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (seen.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (seen.stderr += text));
  child.stdin.on('error', () => {}); // a command that ends without reading is no fault of the test
  child.stdin.write(options.input ?? '');
  if (options.typing !== true) child.stdin.end();
  const timer = setTimeout(() => {
    seen.timedOut = true;
    child.kill('SIGKILL');
  }, options.timeout ?? 30_000);
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ ...seen, code, signal }));
  }).finally(() => clearTimeout(timer));
  finished.catch(() => {}); // seen by whoever awaits it
  return {
    process: child,
    finished,
    shows: (pattern) => shows(child, finished, () => seen.stdout + seen.stderr, pattern),
  };
}

function shows(
  child: ChildProcessWithoutNullStreams,
  finished: Promise<Finished>,
  text: () => string,
  pattern: RegExp,
) {
  return new Promise<string>((resolve, reject) => {
    const look = () => {
      if (pattern.test(text())) resolve(text());
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    look();
    finished.then(() => reject(new Error(`ended without showing ${pattern}: ${text()}`)), reject);
  });
}

/** Runs a command to its end. */
export function command(name: string, args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  return start(name, args, options).finished;
}

/** psql without any start-up file; errors carry their SQLSTATE and the first error ends it with code 1 or 3. */
export function psql(conninfo: string, sql: string, options: CommandOptions = {}): Promise<Finished> {
  return startPsql(conninfo, ['-c', sql], options).finished;
}

/** psql with arguments of its own (or a script as `input`), started but not awaited. */
export function startPsql(conninfo: string, args: readonly string[], options: CommandOptions = {}): Running {
  const fixed = ['-X', '-A', '-t', '-w', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', conninfo];
  return start('psql', [...fixed, ...args], { ...options, env: { PGCONNECT_TIMEOUT: '10', ...options.env } });
}

/** curl without proxies or configuration; silent, but saying why it failed. */
export function curl(args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  return command('curl', ['-q', '--noproxy', '*', '-sS', ...args], options);
}

/** pgbench, which Debian keeps out of the PATH. */
export function pgbench(args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
  return command(pgbenchPath(), args, options);
}

function pgbenchPath(): string {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql').sort().reverse() : [];
  const debian = versions.map((version) => join('/usr/lib/postgresql', version, 'bin'));
  const onPath = (process.env.PATH ?? '').split(delimiter);
  const found = [...debian, ...onPath].map((folder) => join(folder, 'pgbench')).find((path) => existsSync(path));
  return found ?? 'pgbench';
}
