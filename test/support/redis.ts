import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import type { Test } from 'tap';
import { freePort } from './ports.js';
import { endWithUs } from './watchdog.js';

/** A redis-server of this test's own, empty, keeping nothing on disk. */
export interface RedisServer {
  readonly port: number;
  /** For `REDIS_URL` and `new Redis(url)`. */
  readonly url: string;
  readonly pid: number;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** Starts a fresh, empty server on the same port after `kill` or `stop`. */
  restart(): Promise<void>;
  /** Orderly end; done by the test's teardown too. */
  stop(): Promise<void>;
}

/**
 * Starts a real redis-server on a free loopback port and stops it when `t` ends.
 * @param extra more options of redis-server, for example `['--requirepass', 'x']`
 */
export async function startRedis(t: Pick<Test, 'teardown'>, extra: readonly string[] = []): Promise<RedisServer> {
  const port = await freePort();
  let server = await launch(port, extra);
  const stop = () => server.end('SIGTERM');
  t.teardown(stop);
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return server.pid;
    },
    pause: () => void process.kill(server.pid, 'SIGSTOP'),
    resume: () => void process.kill(server.pid, 'SIGCONT'),
    kill: () => server.end('SIGKILL'),
    restart: async () => {
      await stop();
      server = await launch(port, extra);
    },
    stop,
  };
}

async function launch(port: number, extra: readonly string[]) {
  const fixed = ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', [...fixed, '--maxmemory-policy', 'noeviction', '--dir', '/tmp', ...extra], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child, 'spawn');
  const pid = child.pid;
  if (pid === undefined) throw new Error('redis-server has no pid');
  const release = endWithUs(pid, 'KILL');
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGCONT'); // a paused server would never see SIGTERM
      child.kill(signal);
    }
    await exited;
    release();
  };
  await ready(child.stdout, exited);
  return { pid, end };
}

/** Resolves at redis's own line that it accepts connections, then keeps draining its output. */
function ready(output: NodeJS.ReadableStream, exited: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = '';
    output.on('data', (chunk: Buffer) => {
      if (seen.length > 100_000) return;
      seen += chunk.toString();
      if (/Ready to accept connections/.test(seen)) resolve();
    });
    void exited.then(() => reject(new Error(`redis-server ended: ${seen}`)));
  });
}

/** A client that is closed when `t` ends. */
export function redisClient(t: Test, server: RedisServer): Redis {
  const client = new Redis(server.url, { maxRetriesPerRequest: 1, retryStrategy: () => 50 });
  client.on('error', () => {}); // a killed server is what some tests are about
  t.teardown(() => client.disconnect());
  return client;
}
