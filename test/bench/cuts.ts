import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { Child } from './child.js';
import { type BenchGateway, makeDatabase, runSql, startBenchGateway } from './gateway.js';
import { percentile, type Report } from './report.js';
import type { Scope } from './scope.js';
import type { Settings } from './settings.js';

/** Promises of THREATS.md, milliseconds: what `theirs` is in these cases. */
const EXPIRY_P99 = 50;
const REVOKE_P99 = 100;

/** How late leases end, how fast a revocation reaches another gateway, and what sessions cost. */
export async function benchCuts(scope: Scope, settings: Settings, report: Report): Promise<void> {
  const ledger = await startPostgres(scope, { durable: true });
  await expiries(scope, await makeDatabase(ledger), settings, report);
  const redis = await startRedis(scope);
  const echo = Number((await Child.start(scope, 'echo')).ready.port);
  const upstream = await startPostgres(scope, { durable: true });
  const database = await makeDatabase(upstream);
  await runSql(database, `create role bench_reader login password 'bench-secret'`);
  const options = {
    services: { echo: webPolicy(echo), db: databasePolicy(upstream.port, new URL(database).pathname.slice(1)) },
    env: { BENCH_PASSWORD: 'bench-secret' },
    ledger: await makeDatabase(ledger),
    redisUrl: redis.url,
    profile: settings.profile,
  };
  const [a, b] = [await startBenchGateway(scope, options), await startBenchGateway(scope, options)];
  await revocations(scope, a, b, settings, report);
  await sessionsPerSecond(scope, a, upstream.port, database, settings, report);
  await idleConnections(scope, b, settings, report);
}

/** Leases that end spread over one second, and the same number at one instant: as clients see it, and as the records say. */
async function expiries(scope: Scope, database: string, settings: Settings, report: Report): Promise<void> {
  const gateway = await Child.start(scope, 'leases', {
    args: [database],
    flags: settings.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${settings.profile}`],
  });
  const swarm = await Child.start(scope, 'swarm');
  const { leases } = settings;
  for (const [name, spread] of [
    [`${leases} expiries`, 1000],
    [`${leases} expiries at one instant`, 0],
  ] as const) {
    const ends = Date.now() + (settings.quick ? 9_000 : 15_000);
    await gateway.ask({ do: 'plan', ends, apart: spread / leases });
    const { seconds } = await swarm.ask({ do: 'connect', port: Number(gateway.ready.port), clients: leases });
    if (Date.now() > ends) report.note(`${name}: the first leases ended before the last had begun`);
    if (spread > 0)
      report.add('cuts', 'sessions opened per second without an upstream', 'none', leases / Number(seconds), null);
    const { late } = await swarm.ask({ do: 'wait' });
    const { late: recorded, live } = await gateway.ask({ do: 'late' });
    if (live !== 0) report.note(`${name}: ${live} sessions are still live`);
    const target = spread > 0 ? EXPIRY_P99 : null;
    addTimes(report, name, numbers(late), target);
    addTimes(report, `${name}, recorded cut`, numbers(recorded), null);
  }
}

function addTimes(report: Report, name: string, late: readonly number[], target: number | null): void {
  const peer = target === null ? 'none' : 'target';
  report.add('cuts', `${name} p50`, 'none', percentile(late, 50), null);
  report.add('cuts', `${name} p99`, peer, percentile(late, 99), target);
  report.add('cuts', `${name} max`, 'none', percentile(late, 100), null);
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.map(Number) : [];
}

/** From the request to revoke at one gateway to the close of a WebSocket at the other, one after another. */
async function revocations(
  scope: Scope,
  a: BenchGateway,
  b: BenchGateway,
  settings: Settings,
  report: Report,
): Promise<void> {
  const client = await Child.start(scope, 'revoked');
  const times: number[] = [];
  for (let round = 0; round < (settings.quick ? 100 : 300); round += 1) {
    const { id, handle } = await a.issue({ service: 'echo', for: '10m' });
    await client.ask({ do: 'open', port: b.ports.http, handle });
    const from = Date.now();
    const [{ status }, { at }] = await Promise.all([
      a.operator('POST', `/v1/grants/${id}/revoke`, { by: 'bench', reason: 'the bench measures a cut' }),
      client.ask({ do: 'wait' }),
    ]);
    if (status !== 200) throw new Error(`revoke answered ${status}`);
    times.push(Number(at) - from);
  }
  addTimes(report, 'revoke two gateways', times, REVOKE_P99);
}

/** Connect, be admitted, be joined to the database, leave: through the gateway and to the database itself. */
async function sessionsPerSecond(
  scope: Scope,
  gateway: BenchGateway,
  port: number,
  database: string,
  settings: Settings,
  report: Report,
): Promise<void> {
  const load = await Child.start(scope, 'session-load');
  const { handle } = await gateway.issue({ service: 'db', for: '10m' });
  const milliseconds = settings.seconds * 1000;
  const ours = await load.ask({
    port: gateway.ports.postgres,
    user: 'alice',
    database: 'db',
    password: handle,
    milliseconds,
  });
  const name = new URL(database).pathname.slice(1);
  const theirs = await load.ask({ port, user: 'bench_reader', database: name, password: 'bench-secret', milliseconds });
  report.add('cuts', 'postgres sessions per second strict', 'direct', Number(ours.perSecond), Number(theirs.perSecond));
}

/** What an idle WebSocket costs the gateway, upstream connection included. */
async function idleConnections(scope: Scope, gateway: BenchGateway, settings: Settings, report: Report): Promise<void> {
  const load = await Child.start(scope, 'idle');
  const before = await gateway.child.memory();
  const each = 250;
  for (let open = 0; open < settings.idle; open += each) {
    const { handle } = await gateway.issue({ service: 'echo', for: '1h' });
    await load.ask({ port: gateway.ports.http, handle, connections: each });
  }
  const after = await gateway.child.memory();
  report.add(
    'cuts',
    `${settings.idle} idle websockets KiB each`,
    'none',
    (after - before) / settings.idle / 1024,
    null,
  );
}

function webPolicy(port: number): string {
  return `
service: echo
protocol: http
lane: code
owner: group:bench
upstream: { url: "http://127.0.0.1:${port}" }
roles:
  viewer: { allow: [WS /live] }
grants: { max_duration: 8h, max_renewals: 1 }
recording: { mode: strict }
`;
}

function databasePolicy(port: number, database: string): string {
  return `
service: db
protocol: postgres
lane: data
owner: group:bench
upstream: { address: "127.0.0.1:${port}", database: ${database}, user: bench_reader, password: { env: BENCH_PASSWORD } }
roles:
  reader: { search_path: [public], allow: [{ statements: [select], relations: [public.pgbench_accounts] }] }
grants: { max_duration: 8h, max_renewals: 1 }
recording: { mode: strict }
`;
}
