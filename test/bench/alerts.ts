import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { Child } from './child.js';
import { connectedTo } from './database.js';
import { type BenchGateway, makeDatabase, runSql, startBenchGateway } from './gateway.js';
import { percentile, type Report } from './report.js';
import type { Scope } from './scope.js';
import type { Settings } from './settings.js';

/** So many sessions at a time, and so many refusals that are a burst. */
const AT_ONCE = 4;
const BURST = 5;
/** The rules that events are held against as they are committed, and the one that an act sets off. */
const RULES = ['denials', 'ddl', 'first_write', 'direct_issue'] as const;
/** How long what was raised last may take to arrive, milliseconds. */
const PATIENCE = 30_000;

/** From what happens to its alert at a receiver: through recorder, rules, ledger, outbox and webhook. Milliseconds. */
export async function benchAlerts(scope: Scope, settings: Settings, report: Report): Promise<void> {
  const receiver = await Child.start(scope, 'alert-receiver');
  const gateway = await startAlerting(scope, Number(receiver.ready.port), settings);
  const people = settings.quick ? 100 : 300;
  const issued = await everybody(gateway, receiver, people);
  for (const rule of RULES) {
    const late = await latenesses(receiver, rule, issued);
    report.figure('alerts', `${rule} p50`, percentile(late, 50));
    report.figure('alerts', `${rule} p99`, percentile(late, 99));
    report.figure('alerts', `${rule} max`, percentile(late, 100));
  }
}

async function startAlerting(scope: Scope, receiver: number, { profile }: Settings): Promise<BenchGateway> {
  const redis = await startRedis(scope);
  const ledger = await startPostgres(scope, { durable: true });
  const upstream = await startPostgres(scope, { durable: true });
  const database = await makeDatabase(upstream);
  await runSql(database, `create role bench_writer login password 'bench-secret'`);
  await runSql(database, 'create table notes (n int)');
  await runSql(database, 'grant insert on notes to bench_writer');
  await runSql(database, 'grant create on schema public to bench_writer');
  return startBenchGateway(scope, {
    services: { db: policy(upstream.port, new URL(database).pathname.slice(1)) },
    settings: `drain: 0s
alerts: { denials: { count: ${BURST}, within: 1m } }
notices: { webhook: { url: "http://127.0.0.1:${receiver}/", secret: { env: HOOK }, kinds: [alert] } }`,
    env: { BENCH_PASSWORD: 'bench-secret', HOOK: `whsec_${randomBytes(32).toString('base64')}` },
    ledger: await makeDatabase(ledger),
    redisUrl: redis.url,
    profile,
  });
}

/**
 * Each person sets off each rule once: while an alert is open, the same is only counted. A few at a time, and the next ones when
 * all of theirs has arrived: how fast alerts can be made is not asked here.
 */
async function everybody(gateway: BenchGateway, receiver: Child, people: number): Promise<ReadonlyMap<string, number>> {
  const issued = new Map<string, number>();
  for (let done = 0; done < people; done += AT_ONCE) {
    const some = Array.from({ length: AT_ONCE }, (_, one) => person(gateway, done + one, issued));
    await Promise.all(some);
    await arrived(receiver, (done + AT_ONCE) * RULES.length);
  }
  return issued;
}

/** @throws when some are missing: percentiles of those that came would hide those that did not */
async function arrived(receiver: Child, expected: number): Promise<void> {
  for (const until = Date.now() + PATIENCE; ; await pause(20)) {
    const { count } = await receiver.ask({ do: 'count' });
    if (Number(count) >= expected) return;
    if (Date.now() > until) throw new Error(`${count} alerts of ${expected}`);
  }
}

async function person(gateway: BenchGateway, number: number, issued: Map<string, number>): Promise<void> {
  const user = `person${number}`;
  const from = Date.now();
  const { id, handle } = await gateway.issue({ service: 'db', role: 'writer', principal: user, for: '10m' });
  issued.set(id, from);
  const client = await connectedTo({ port: gateway.ports.postgres, user, database: 'db', password: handle });
  try {
    for (let refused = 0; refused < BURST; refused += 1) await client.query('delete from notes').catch(() => {});
    await client.query('insert into notes values (1)');
    await client.query(`create table made_${number} (n int)`);
  } finally {
    await client.end();
  }
}

/** @param issued - when each grant was asked for: an issue is older than the look that found it */
async function latenesses(
  receiver: Child,
  rule: (typeof RULES)[number],
  issued: ReadonlyMap<string, number>,
): Promise<number[]> {
  const { grants, happened, arrived } = await receiver.ask({ do: 'tell', rule });
  const asked = Array.isArray(grants) ? grants.map((grant) => issued.get(String(grant)) ?? Number.NaN) : [];
  const from = rule === 'direct_issue' ? asked : numbers(happened);
  const late = numbers(arrived).map((at, i) => at - (from[i] ?? Number.NaN));
  if (late.length !== issued.size) throw new Error(`${rule}: ${late.length} alerts of ${issued.size}`);
  return late;
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.map(Number) : [];
}

function policy(port: number, database: string): string {
  return `
service: db
protocol: postgres
lane: data
owner: group:bench
upstream: { address: "127.0.0.1:${port}", database: ${database}, user: bench_writer, password: { env: BENCH_PASSWORD } }
roles:
  reader: { search_path: [public], allow: [{ statements: [select], relations: [public.notes] }] }
  writer:
    extends: reader
    allow: [{ statements: [insert], relations: [public.notes] }, { statements: [ddl], relations: ["public.*"] }]
grants: { max_duration: 8h, max_renewals: 1 }
recording: { mode: strict }
`;
}
