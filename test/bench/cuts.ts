import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { Child } from './child.js';
import { type BenchGateway, makeDatabase, runSql, startBenchGateway } from './gateway.js';
import { settled } from './memory.js';
import { percentile, type Report } from './report.js';
import type { Scope } from './scope.js';
import type { Settings } from './settings.js';

/** A first few clients show how fast this machine lets them in: their leases last this long, milliseconds. */
const FIRST = { clients: 500, lasting: 10_000 };

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
    flags: ['--expose-gc'],
  };
  const [a, b] = [await startBenchGateway(scope, options), await startBenchGateway(scope, options)];
  await revocations(scope, a, b, settings, report);
  await sessionsPerSecond(scope, a, upstream.port, database, settings, report);
  await idleConnections(scope, [a, b], settings, report);
}

/** Leases that end spread over one second, and the same number at one instant: as clients see it, and as the records say. */
async function expiries(scope: Scope, database: string, settings: Settings, report: Report): Promise<void> {
  const gateway = await Child.start(scope, 'leases', {
    args: [database],
    flags: settings.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${settings.profile}`],
  });
  const swarm = await Child.start(scope, 'swarm');
  const { leases } = settings;
  const opening = await openingTime(gateway, swarm, leases);
  for (const [name, spread] of [
    [`${leases} expiries`, 1000],
    [`${leases} expiries at one instant`, 0],
  ] as const) {
    const ends = Date.now() + opening;
    await gateway.ask({ do: 'plan', ends, apart: spread / leases });
    const { seconds } = await swarm.ask({ do: 'connect', port: Number(gateway.ready.port), clients: leases });
    if (Date.now() > ends) throw new Error(`${name}: the first leases ended before the last had begun`);
    if (spread > 0) report.figure('cuts', 'sessions opened per second without an upstream', leases / Number(seconds));
    const { late } = await swarm.ask({ do: 'wait', ends: ends + spread });
    const { late: recorded, live } = await gateway.ask({ do: 'late' });
    if (live !== 0) throw new Error(`${name}: ${live} sessions are still live`);
    addTimes(report, name, complete(late, leases, `${name}: farewells`));
    addTimes(report, `${name}, recorded cut`, complete(recorded, leases, `${name}: recorded cuts`));
  }
}

/** How long so many clients may take to be let in before the first of their leases ends: twice what it should, milliseconds. */
async function openingTime(gateway: Child, swarm: Child, leases: number): Promise<number> {
  const ends = Date.now() + FIRST.lasting;
  await gateway.ask({ do: 'plan', ends, apart: 0 });
  const { seconds } = await swarm.ask({
    do: 'connect',
    port: Number(gateway.ready.port),
    clients: FIRST.clients,
  });
  await swarm.ask({ do: 'wait', ends });
  return Math.max(FIRST.lasting, ((2_000 * Number(seconds)) / FIRST.clients) * leases);
}

function addTimes(report: Report, name: string, late: readonly number[]): void {
  report.figure('cuts', `${name} p50`, percentile(late, 50));
  report.figure('cuts', `${name} p99`, percentile(late, 99));
  report.figure('cuts', `${name} max`, percentile(late, 100));
}

/** @throws when one is missing: percentiles of those that came would hide those that did not */
function complete(value: unknown, expected: number, what: string): number[] {
  const all = Array.isArray(value) ? value.map(Number) : [];
  if (all.length !== expected) throw new Error(`${what}: ${all.length} of ${expected}`);
  return all;
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
  addTimes(report, 'revoke two gateways', times);
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

/**
 * What an idle WebSocket costs a gateway, upstream connection included: what is resident, and what is on the heap. They are
 * shared between two gateways: one would need more descriptors than a user often may have.
 */
async function idleConnections(
  scope: Scope,
  gateways: readonly BenchGateway[],
  settings: Settings,
  report: Report,
): Promise<void> {
  const load = await Child.start(scope, 'idle');
  const before = await settledAll(gateways);
  const each = 250;
  for (let open = 0; open < settings.idle; open += each) {
    const gateway = gateways[(open / each) % gateways.length];
    if (gateway === undefined) throw new Error('no gateway');
    // Of several people: one may have as many connections as are free.
    const principal = `person-${open / each}`;
    const { handle } = await gateway.issue({ service: 'echo', for: '1h', principal });
    await load.ask({ do: 'open', port: gateway.ports.http, handle, connections: each });
  }
  const after = await settledAll(gateways);
  const { alive } = await load.ask({ do: 'echo' });
  if (alive !== settings.idle) throw new Error(`${alive} of ${settings.idle} idle websockets still work`);
  const kib = (name: 'resident' | 'heap') => (after[name] - before[name]) / settings.idle / 1024;
  report.figure('cuts', `${settings.idle} idle websockets KiB each`, kib('resident'));
  report.figure('cuts', `${settings.idle} idle websockets, heap and buffers KiB each`, kib('heap'));
}

async function settledAll(gateways: readonly BenchGateway[]): Promise<{ resident: number; heap: number }> {
  const all = await Promise.all(gateways.map(settled));
  const sum = (name: 'resident' | 'heap') => all.reduce((bytes, one) => bytes + one[name], 0);
  return { resident: sum('resident'), heap: sum('heap') };
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
