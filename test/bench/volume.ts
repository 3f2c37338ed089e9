import { setTimeout as pause } from 'node:timers/promises';
import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { Child, type Message } from './child.js';
import { makeDatabase, startBenchGateway } from './gateway.js';
import { residentOf, settled } from './memory.js';
import { compare, inTurns, startWays, type Way } from './postgres.js';
import type { Report } from './report.js';
import { Scope } from './scope.js';
import type { Settings } from './settings.js';

/** A large result and large COPYs on every way to the same database, and what idle sessions cost: without pgbench. */
export async function benchVolume(scope: Scope, settings: Settings, report: Report): Promise<void> {
  const { ways } = await startWays(scope, settings, report);
  await largeTransfers(ways, settings, report);
  await idleSessions(scope, settings, report);
}

/** Rows, COPY out and COPY in: megabytes per second, and the most that the buffered gateway had resident meanwhile. */
export async function largeTransfers(ways: ReadonlyMap<string, Way>, settings: Settings, report: Report) {
  const { resultBytes } = settings;
  const size = resultBytes >= 1e9 ? '1 GB' : `${resultBytes / 1e6} MB`;
  const rows = `select repeat('x', 1013) from generate_series(1, ${Math.ceil(resultBytes / 1024)})`;
  const works: Readonly<Record<string, (way: Way) => Promise<number>>> = {
    result: (way) => transfer('pg-reader', way, { text: rows }),
    'copy out': (way) => transfer('pg-reader', way, { text: `copy (${rows}) to stdout` }),
    'copy in': (way) =>
      transfer(
        'pg-copier',
        { ...way, password: way.loader ?? way.password },
        { text: 'copy bench_lines from stdin where false', bytes: resultBytes },
      ),
  };
  for (const [name, work] of Object.entries(works)) {
    let most = 0;
    const rates = await inTurns(ways, settings.quick ? 1 : 3, async (way) => {
      const watch = way === ways.get('buffered') ? await watchMemory(way.pid ?? 0) : null;
      const rate = await work(way);
      most = Math.max(most, (await watch?.()) ?? 0);
      return rate;
    });
    compare(report, `${size} ${name}`, rates);
    if (most > 0) report.figure('postgres', `${size} ${name} rss MiB`, most / 2 ** 20);
    report.progress(
      `${size} ${name}: ${[...rates].map(([way, rate]) => `${way} ${Math.round(rate)}`).join(', ')} MB/s`,
    );
  }
}

/** Megabytes per second of one statement: by a raw client in a process of its own. */
async function transfer(client: string, way: Way, what: Message): Promise<number> {
  const { port, user, database, password } = way;
  const scope = new Scope();
  try {
    const child = await Child.start(scope, client, {});
    const { ms, bytes } = await child.ask({ do: 'transfer', port, user, database, password, ...what });
    return Number(bytes) / 1e6 / (Number(ms) / 1000);
  } finally {
    await scope.end();
  }
}

/** Looks at a process's resident memory until it is told to stop. @returns the most that was seen, bytes */
async function watchMemory(pid: number): Promise<() => Promise<number>> {
  let most = 0;
  const look = async () => {
    most = Math.max(most, await residentOf(pid));
  };
  const timer = setInterval(() => void look(), 50);
  await look();
  return async () => {
    clearInterval(timer);
    await look();
    return most;
  };
}

/** What an idle database session costs the gateway, its upstream connection included; the database is a stub. */
export async function idleSessions(scope: Scope, settings: Settings, report: Report): Promise<void> {
  const ledger = await startPostgres(scope, { durable: true });
  const redis = await startRedis(scope);
  const stub = await Child.start(scope, 'pg-stub');
  const gateway = await startBenchGateway(scope, {
    services: { stub: stubPolicy(Number(stub.ready.port)) },
    env: { BENCH_PASSWORD: 'none' },
    ledger: await makeDatabase(ledger),
    redisUrl: redis.url,
    flags: ['--expose-gc'],
  });
  const load = await Child.start(scope, 'pg-idle');
  const { handle } = await gateway.issue({ service: 'stub', for: '1h' });
  const open = (connections: number) =>
    load.ask({
      do: 'open',
      port: gateway.ports.postgres,
      user: 'alice',
      database: 'stub',
      password: handle,
      connections,
    });
  const each = 50;
  // What the first sessions bring to life once and for all is no cost of each.
  await open(each);
  const before = await settled(gateway);
  for (let more = 0; more < settings.sessions; more += each) await open(each);
  await pause(1_000);
  const after = await settled(gateway);
  const { alive } = await load.ask({ do: 'ask' });
  if (alive !== settings.sessions + each)
    throw new Error(`${alive} of ${settings.sessions + each} sessions still work`);
  const kib = (name: 'resident' | 'heap') => (after[name] - before[name]) / settings.sessions / 1024;
  report.figure('postgres', `${settings.sessions} idle sessions KiB each`, kib('resident'));
  report.figure('postgres', `${settings.sessions} idle sessions, heap and buffers KiB each`, kib('heap'));
}

function stubPolicy(port: number): string {
  return `
service: stub
protocol: postgres
lane: data
owner: group:bench
upstream: { address: "127.0.0.1:${port}", database: stub, user: stub, password: { env: BENCH_PASSWORD } }
roles:
  anyone: { allow: [{ statements: [any] }] }
grants: { max_duration: 8h, max_renewals: 1 }
recording: { mode: strict }
`;
}
