import { loadavg } from 'node:os';
import { inflateRawSync } from 'node:zlib';
import { pgbench } from '../support/commands.js';
import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { Child } from './child.js';
import { cpuSeconds } from './cpu.js';
import { type BenchGateway, makeDatabase, runSql, startBenchGateway } from './gateway.js';
import { startPgbouncer } from './peers/pgbouncer.js';
import { missingProgram } from './peers/program.js';
import { median, type Report } from './report.js';
import type { Scope } from './scope.js';
import type { Settings } from './settings.js';
import { idleSessions, largeTransfers } from './volume.js';

/** A way to the database: where pgbench connects, and as whom. */
export interface Way {
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** The password of who may COPY in, where that is another. */
  readonly loader?: string;
  /** The process in between, if there is one. */
  readonly pid?: number;
}

const CLIENTS = 8;
const MODES = ['simple', 'prepared'] as const;
const PEERS = ['direct', 'pgbouncer', 'pipe'] as const;
const OURS = ['null', 'buffered', 'strict'] as const;

/** `pgbench -S` and a large result, on every way to the same database, in turns. */
export async function benchPostgres(scope: Scope, settings: Settings, report: Report): Promise<void> {
  const { ways, recorded } = await startWays(scope, settings, report);
  const modes = MODES.filter((mode) => settings.only.includes(mode));
  for (const mode of modes.length > 0 ? modes : MODES) {
    const cpu = new Map<string, number[]>();
    const rates = await inTurns(ways, settings.rounds, (way) => tps(way, mode, settings.seconds, cpu));
    compare(report, mode, rates);
    const costs = [...ways].map(
      ([name, way]) => `${name} ${Math.round(median(cpu.get(way.password + way.port) ?? [0]))}`,
    );
    report.note(`${mode}: microseconds of the proxy's CPU for each transaction: ${costs.join(', ')}`);
    report.progress(`pgbench ${mode}: ${[...rates].map(([name, rate]) => `${name} ${Math.round(rate)}`).join(', ')}`);
  }
  await actionsPerCommit(report, recorded);
  if (modes.length > 0) return;
  await largeTransfers(ways, settings, report);
  await idleSessions(scope, settings, report);
}

export function compare(report: Report, work: string, rates: ReadonlyMap<string, number>): void {
  for (const ours of OURS) {
    for (const peer of PEERS) {
      const [rate, theirs] = [rates.get(ours), rates.get(peer)];
      if (rate !== undefined && theirs !== undefined) report.add('postgres', `${work} ${ours}`, peer, rate, theirs);
    }
  }
}

/** Rounds in which each way has its turn, so that what else the machine does falls on all alike. Medians. */
export async function inTurns(
  ways: ReadonlyMap<string, Way>,
  rounds: number,
  measure: (way: Way) => Promise<number>,
): Promise<Map<string, number>> {
  const seen = new Map([...ways.keys()].map((name) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, way] of ways) seen.get(name)?.push(await measure(way));
  }
  if (process.env.DAYPASS_BENCH_VERBOSE) process.stderr.write(`${JSON.stringify([...seen])} load ${loadavg()[0]}\n`);
  return new Map([...seen].map(([name, values]) => [name, median(values)]));
}

/** Every way to one database; `recorded` is where the gateway's ledger is. */
export async function startWays(
  scope: Scope,
  settings: Settings,
  report: Report,
): Promise<{ readonly ways: Map<string, Way>; readonly recorded: string }> {
  const upstream = await startPostgres(scope, { durable: true });
  const ledger = await startPostgres(scope, { durable: true });
  const recorded = await makeDatabase(ledger);
  const database = await makeDatabase(upstream);
  const name = new URL(database).pathname.slice(1);
  await fill(database);
  const direct: Way = { port: upstream.port, database: name, user: 'bench_reader', password: 'bench-secret' };
  const ways = new Map<string, Way>([['direct', direct]]);
  const missing = missingProgram('pgbouncer', 'pgbouncer');
  if (missing === null) ways.set('pgbouncer', { ...direct, ...(await startPgbouncer(scope, direct)) });
  else report.lacks(missing);
  const pipe = await Child.start(scope, 'pipe', { args: [String(upstream.port)] });
  ways.set('pipe', { ...direct, port: Number(pipe.ready.port), pid: pipe.pid });
  const redis = await startRedis(scope);
  const services = Object.fromEntries(
    (['buffered', 'strict'] as const).map((mode) => [`db-${mode}`, policy(direct, mode)]),
  );
  const common = { services, env: { BENCH_PASSWORD: direct.password }, redisUrl: redis.url, profile: settings.profile };
  const real = await startBenchGateway(scope, { ...common, ledger: recorded });
  const bare = await startBenchGateway(scope, { ...common, ledger: await makeDatabase(ledger), recordsNothing: true });
  ways.set('null', await wayThrough(bare, 'db-buffered'));
  ways.set('buffered', await wayThrough(real, 'db-buffered'));
  ways.set('strict', await wayThrough(real, 'db-strict'));
  const chosen = settings.only.filter((name) => ways.has(name));
  if (chosen.length === 0) return { ways, recorded };
  return { ways: new Map([...ways].filter(([way]) => chosen.includes(way))), recorded };
}

async function wayThrough({ child, ports, issue }: BenchGateway, service: string): Promise<Way> {
  const { handle } = await issue({ service, for: '1h' });
  const loader = (await issue({ service, role: 'loader', for: '1h' })).handle;
  return { port: ports.postgres, database: service, user: 'alice', password: handle, loader, pid: child.pid };
}

/** What `pgbench -i -s 5` makes. */
async function fill(url: string): Promise<void> {
  await runSql(
    url,
    `create table pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84)) with (fillfactor = 100);
     create table pgbench_branches (bid int primary key, bbalance int, filler char(88));
     insert into pgbench_branches select n, 0, '' from generate_series(1, 5) n;
     insert into pgbench_accounts select n, 1 + n % 5, 0, '' from generate_series(1, 500000) n;
     create role bench_reader login password 'bench-secret';
     create table bench_lines (line text);
     grant select on pgbench_accounts, pgbench_branches to bench_reader;
     grant insert on bench_lines to bench_reader;`,
  );
  await runSql(url, 'vacuum analyze');
}

function policy(way: Way, mode: 'buffered' | 'strict'): string {
  return `
service: db-${mode}
protocol: postgres
lane: data
owner: group:bench
upstream: { address: "127.0.0.1:${way.port}", database: ${way.database}, user: ${way.user}, password: { env: BENCH_PASSWORD } }
roles:
  reader: { search_path: [public], allow: [{ statements: [select, copy-out], relations: [public.pgbench_accounts, public.pgbench_branches] }] }
  loader: { extends: reader, allow: [{ statements: [copy-in], relations: [public.bench_lines] }] }
grants: { max_duration: 8h, max_renewals: 1 }
recording: { mode: ${mode} }
`;
}

/** Transactions per second, the time to connect left out, as pgbench itself says. */
async function tps(
  way: Way,
  mode: (typeof MODES)[number],
  seconds: number,
  cpu: Map<string, number[]>,
): Promise<number> {
  const before = cpuSeconds(way.pid);
  const args = ['-S', '-n', '-M', mode, '-c', String(CLIENTS), '-j', '1', '-T', String(seconds)];
  const { stdout, stderr, code } = await pgbench([...args, '-s', '5', way.database], {
    env: environment(way),
    timeout: 120_000,
  });
  const rate = /tps = ([\d.]+) \(without initial/.exec(stdout)?.[1];
  if (rate === undefined || code !== 0) throw new Error(`pgbench ended with ${code}: ${stdout}${stderr}`);
  const transactions = Number(/actually processed: (\d+)/.exec(stdout)?.[1]);
  const spent = ((cpuSeconds(way.pid) - before) / transactions) * 1e6;
  const key = way.password + way.port;
  cpu.set(key, [...(cpu.get(key) ?? []), spent]);
  return Number(rate);
}

function environment({ port, user, password }: Way) {
  return { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGSSLMODE: 'disable' };
}

/** How many actions share a commit, counted in the evidence itself: the blocks of one transaction are one commit. */
async function actionsPerCommit(report: Report, recorded: string): Promise<void> {
  const rows = await runSql(
    recorded,
    `select s.mode, b.xmin::text as commit, b.payload
     from daypass.blocks b join daypass.sessions s on s.id = b.session_id`,
  );
  for (const mode of ['strict', 'buffered']) {
    const blocks = rows.filter((row) => row.mode === mode);
    const actions = blocks.reduce((sum, { payload }) => sum + actionsIn(payload), 0);
    const commits = new Set(blocks.map(({ commit }) => commit)).size;
    if (actions > 0) report.figure('postgres', `actions per commit ${mode}`, actions / commits);
  }
}

/** Format 1: pairs of JSON lines, header and payload, deflated. */
function actionsIn(payload: unknown): number {
  if (!Buffer.isBuffer(payload)) throw new Error('a block without a payload');
  const lines = inflateRawSync(payload).toString().split('\n');
  return lines.filter((line, i) => i % 2 === 0 && line !== '' && JSON.parse(line).k === 'action').length;
}
