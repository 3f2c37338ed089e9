import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import {
  ask,
  type GatewayOptions,
  type IssuedGrant,
  type IssueGrant,
  issueWith,
  writeConfiguration,
} from './gateway.js';
import type { Database } from './postgres.js';
import { endWithUs } from './watchdog.js';

/** The compiled `daypass` command. */
export const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A gateway as it runs in production: `daypass serve` in a process of its own. */
export interface GatewayProcess {
  readonly pid: number;
  /** The gateway's id in the ledger; another one after each start. Its workers have ids of their own. */
  readonly id: string;
  readonly ports: { readonly http: number; readonly postgres: number; readonly health: number };
  readonly configDirectory: string;
  readonly dataDirectory: string;
  /** Lines of its log, parsed; those of all its starts. */
  readonly lines: readonly Record<string, unknown>[];
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the process of the last start has ended. */
  ended(): Promise<Exit>;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<Exit>;
  /** Starts it again, on the same configuration and data; the ports are others. */
  restart(): Promise<void>;
  /** Resolves at the first line of the log with this message, also at one that was written before. */
  says(message: string | RegExp): Promise<Record<string, unknown>>;
  operator(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }>;
  issue(grant: IssueGrant): Promise<IssuedGrant>;
}

export interface ProcessOptions extends GatewayOptions {
  readonly ledger: Database;
  /** Processes that serve; one unless told. */
  readonly workers?: number;
  /** How many descriptors each process may have; as many as this one unless told. */
  readonly descriptors?: number;
}

/** Starts a gateway process and waits until it serves. Killed, whatever its state, when `t` ends. */
export async function startGatewayProcess(t: Test, options: ProcessOptions): Promise<GatewayProcess> {
  const root = await mkdtemp('/tmp/dp-gw-');
  const configDirectory = join(root, 'config');
  const dataDirectory = join(root, 'data');
  await writeConfiguration(configDirectory, options);
  const env = { DATABASE_URL: options.ledger.url, REDIS_URL: options.redisUrl ?? '', ...options.env };
  const lines = new Lines();
  const args = ['--config', configDirectory, '--data', dataDirectory];
  if (options.workers !== undefined) args.push('--workers', String(options.workers));
  const { descriptors } = options;
  const limited = descriptors === undefined ? [] : ['prlimit', `--nofile=${descriptors}:${descriptors}`];
  const launch = () => Served.start([...limited, process.execPath, CLI, 'serve', ...args], env, lines);
  let run = await launch();
  t.teardown(async () => {
    await run.end('SIGKILL');
    await rm(root, { recursive: true, force: true });
  });
  const operator = (method: string, path: string, body?: unknown) =>
    ask(join(dataDirectory, 'daypass.sock'), method, path, body);
  return {
    get pid() {
      return run.pid;
    },
    get id() {
      return run.id;
    },
    get ports() {
      return run.ports;
    },
    configDirectory,
    dataDirectory,
    lines: lines.all,
    kill: (signal) => void process.kill(run.pid, signal),
    ended: () => run.exited,
    stop: () => run.end('SIGTERM'),
    restart: async () => {
      run = await launch();
    },
    says: (message) => lines.find((line) => matches(line.msg, message)),
    operator,
    issue: (grant) => issueWith(operator, grant),
  };
}

function matches(text: unknown, message: string | RegExp): boolean {
  return typeof message === 'string' ? text === message : message.test(String(text));
}

type Line = Record<string, unknown>;

/** The log as it grows. */
class Lines {
  readonly all: Line[] = [];
  readonly #waiting = new Set<(line: Line) => void>();

  add(line: Line): void {
    this.all.push(line);
    for (const look of this.#waiting) look(line);
  }

  find(wanted: (line: Line) => boolean, from = 0): Promise<Line> {
    const there = this.all.slice(from).find(wanted);
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve) => {
      const look = (line: Line) => {
        if (!wanted(line)) return;
        this.#waiting.delete(look);
        resolve(line);
      };
      this.#waiting.add(look);
    });
  }
}

/** One life of the process. */
class Served {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  id = '';
  ports = { http: 0, postgres: 0, health: 0 };
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, pid: number, released: () => void) {
    this.#child = child;
    this.pid = pid;
    this.exited = once(child, 'close').then(([code, signal]) => {
      released();
      return { code, signal };
    });
  }

  static async start(
    [command = '', ...args]: readonly string[],
    env: Readonly<Record<string, string>>,
    lines: Lines,
  ): Promise<Served> {
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await once(child, 'spawn');
    if (child.pid === undefined) throw new Error('the gateway has no pid');
    const served = new Served(child, child.pid, endWithUs(child.pid, 'KILL'));
    const from = lines.all.length;
    const plain = readLines(child, lines);
    const serves = lines.find((line) => line.msg === 'the gateway serves', from);
    const line = await Promise.race([serves, served.exited.then(() => null)]);
    if (line === null) throw new Error(`the gateway did not start: ${plain().join('\n')}`);
    served.id = String(line.gateway);
    served.ports = { http: Number(line.http), postgres: Number(line.postgres), health: Number(line.health) };
    return served;
  }

  async end(signal: NodeJS.Signals): Promise<Exit> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill(signal);
      this.#child.kill('SIGCONT'); // a paused process would never see SIGTERM
    }
    return this.exited;
  }
}

/** Reads standard error line by line; what is not JSON is the command's own words. */
function readLines(child: ChildProcess, lines: Lines): () => readonly string[] {
  const plain: string[] = [];
  let rest = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    const whole = (rest + text).split('\n');
    rest = whole.pop() ?? '';
    for (const line of whole) {
      if (line.startsWith('{')) lines.add(JSON.parse(line));
      else plain.push(line);
    }
  });
  return () => [...plain, rest, ...lines.all.slice(-5).map((line) => JSON.stringify(line))];
}
