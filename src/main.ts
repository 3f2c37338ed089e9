/*
 * The composition root: builds the parts, starts them, stops them in reverse. It is the only file that knows them all.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pool } from 'pg';
import { missing, startHealth } from './api/health.js';
import type { GatewayStatus, Reloaded } from './api/parts.js';
import { startApi } from './api/server.js';
import { type Clock, systemClock } from './clock.js';
import type { Address } from './config/address.js';
import { readEnvFile } from './config/env-file.js';
import type { GatewayConfig, SigningKeySource } from './config/gateway.js';
import { type ConfigProblem, loadConfig } from './config/load.js';
import { DaypassError, messageOf } from './errors.js';
import { Gate } from './gate/gate.js';
import { Policies } from './gate/policies.js';
import type { Protocol } from './gate/protocol.js';
import { GrantAuthority } from './grant/authority.js';
import { generateSigningKey, readSigningKey, type SigningKey } from './grant/keys.js';
import { Ledger } from './grant/ledger.js';
import { MemoryGrantStore } from './grant/memory.js';
import { RedisGrantStore } from './grant/redis.js';
import type { GrantStore } from './grant/store.js';
import { startGrantWatch } from './grant/watch.js';
import { Identity } from './http/identity.js';
import { startHttp } from './http/listener.js';
import { Lifecycle } from './lifecycle.js';
import { createLog, type Log } from './log.js';
import { Metrics } from './metrics.js';
import { readinessOf, readingsOf } from './observe.js';
import { startPostgres } from './postgres/listener.js';
import { warnOfUpstreams } from './postgres/upstream-check.js';
import { loadProtocols } from './protocols.js';
import { openDatabase } from './recording/database.js';
import { examineDatabase } from './recording/examine.js';
import { Presence } from './recording/gateways.js';
import { IndexWriter } from './recording/index.js';
import { ensurePartitions, migrate } from './recording/migrate.js';
import { rememberPolicies } from './recording/policies.js';
import { Recorder } from './recording/recorder.js';
import { watchConfiguration } from './reload.js';

export interface ServeOptions {
  /** The folder with `daypass.yaml` and `services/`. */
  readonly configDirectory: string;
  /** Where the operator's socket and what must outlive a restart are kept. */
  readonly dataDirectory: string;
  /** The process's environment unless given. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The machine's unless given. */
  readonly clock?: Clock;
}

/** A gateway that serves. */
export interface Gateway {
  readonly config: GatewayConfig;
  /** Where it listens really: ports may have been chosen by the system. */
  readonly addresses: { readonly http: number; readonly postgres: number; readonly health: number };
  /** Stops admitting, lets live sessions go on for `drain`, cuts the rest, writes everything. */
  stop(): Promise<void>;
}

const { version }: { version: string } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
);

/** How long what is queued may take to be written at the end, milliseconds. */
const LAST_WRITE = 5_000;

/**
 * Runs a gateway until `stop`.
 * @throws DaypassError for whatever keeps it from starting; what had been started is stopped again
 */
export async function serve(options: ServeOptions, log: Log = createLog()): Promise<Gateway> {
  const lifecycle = new Lifecycle(log);
  try {
    return await build(options, log, lifecycle);
  } catch (thrown) {
    await lifecycle.stop();
    throw thrown;
  }
}

/** As `serve`, with the sample upstreams beside it. */
export async function start(options: ServeOptions, log: Log = createLog()): Promise<Gateway> {
  await mkdir(options.dataDirectory, { recursive: true, mode: 0o700 });
  const { startSamples } = await import('./embedded/samples.js');
  const samples = await startSamples(options.dataDirectory, log, options.env ?? process.env);
  try {
    const gateway = await serve({ ...options, env: { ...(options.env ?? process.env), ...samples.env } }, log);
    return { ...gateway, stop: () => gateway.stop().finally(() => samples.stop()) };
  } catch (thrown) {
    await samples.stop();
    throw thrown;
  }
}

async function build(options: ServeOptions, log: Log, lifecycle: Lifecycle): Promise<Gateway> {
  const { dataDirectory, clock = systemClock } = options;
  const metrics = new Metrics();
  metrics.describeProcess(version);
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  const protocols = await loadProtocols();
  const { gateway: config, services } = load(options, protocols);

  const databaseUrl = config.database ?? (await startLedger(dataDirectory, log, lifecycle));
  const pool = openDatabase(databaseUrl, { log });
  lifecycle.onStop('ledger connections', () => pool.end());
  await examineDatabase(pool);
  await migrate(pool);
  await ensurePartitions(pool, clock.wall());
  await rememberPolicies(pool, services.values());

  const store = await openStore(config, clock, log);
  lifecycle.onStop('grant store', () => store.close());
  const ledger = new Ledger(pool);
  const policies = new Policies(services);
  const key = await signingKey(config.signingKey, dataDirectory);
  const grants = await GrantAuthority.open({
    store,
    ledger,
    signingKey: key,
    policyOf: (service) => policies.get(service),
    dataDirectory,
    clock,
    log,
  });
  if (config.redis === undefined)
    log.info({ grants: await grants.refill() }, 'grants are kept in this process (no Redis is configured)');

  const gatewayId = randomUUID();
  const index = new IndexWriter({ pool, log });
  const writing = openDatabase(databaseUrl, { max: 2, applicationName: 'daypass-recorder', log });
  lifecycle.onStop('recorder connections', () => writing.end());
  const recorder = new Recorder({ pool: writing, gatewayId, clock, log, metrics, committed: index.committed });
  const presence = new Presence({
    pool,
    gatewayId,
    clock,
    log,
    beat: async () => {
      await ensurePartitions(pool, clock.wall());
      await index.repair();
    },
  });
  await presence.start();
  const gate = new Gate({ grants, policies, recorder, clock, log, metrics });
  grants.onChange((id) => gate.recheck(id));
  lifecycle.onStop('recorder', () => endRecording(recorder, index, presence, gate, log));
  lifecycle.onStop('grants', () => grants.close());
  const watch = await startGrantWatch({
    store,
    ledger,
    watcher: gate,
    staleness: config.stalenessSeconds * 1000,
    clock,
    log,
  });
  lifecycle.onStop('grant watch', () => watch.stop());

  metrics.reloaded(clock.wall());
  const reload = oneAtATime(() => reloadPolicies(options, protocols, { policies, gate, pool, clock, log, metrics }));
  let draining = false;
  const observed = { watch, presence, recorder, stopping: () => draining };
  const checks = readinessOf(observed);
  metrics.read(readingsOf(observed, () => Object.keys(missing(checks)).length === 0));

  const { listen } = config;
  const identity = new Identity(key, () => clock.wall());
  const serving = { gate, log, clock };
  const http = await listening(
    'HTTP',
    listen.http,
    startHttp({ ...serving, domain: config.domain, identity, ...listen.http }),
  );
  lifecycle.onStop('HTTP', () => http.stop());
  const postgres = await listening(
    'Postgres',
    listen.postgres,
    startPostgres({ ...serving, ...listen.postgres, tls: config.tls }),
  );
  lifecycle.onStop('Postgres', () => postgres.stop());
  const health = await listening(
    'health',
    listen.health,
    startHealth({ ...listen.health, checks, metrics: metrics.registry }),
  );
  lifecycle.onStop('health', () => health.close());
  const addresses = { http: http.address.port, postgres: postgres.port, health: health.port };
  const at = (host: string, port: number) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
  const startedAt = new Date(clock.wall()).toISOString();
  const status = (): GatewayStatus => ({
    version,
    gatewayId,
    pid: process.pid,
    startedAt,
    domain: config.domain,
    listen: {
      http: at(listen.http.host, addresses.http),
      postgres: at(listen.postgres.host, addresses.postgres),
      health: at(listen.health.host, addresses.health),
    },
    liveSessions: gate.registry.all().length,
    notReady: Object.keys(missing(checks)),
    services: policies.all().map(({ name, protocol, roles }) => ({ name, protocol, roles: [...roles.keys()] })),
  });
  const socketPath = join(dataDirectory, 'daypass.sock');
  const api = await startApi({ socketPath, grants, gate, policies, pool, protocols, reload, status, clock, log });
  lifecycle.onStop('operator socket', () => api.close());
  // Stopped after `drain`: policies may still be narrowed for those who stay so long.
  const watcher = watchConfiguration(options.configDirectory, reload, log);
  lifecycle.onStop('configuration watch', () => watcher.stop());
  lifecycle.onStop('drain', async () => {
    draining = true;
    // The listeners stay open until the end: whoever comes is told why, in the client's own protocol.
    gate.stopAdmitting();
    log.info({ sessions: gate.registry.all().length, drain: config.drainSeconds }, 'the gateway stops');
    await untilIdle(gate, config.drainSeconds * 1000);
    gate.cutAll('shutdown');
  });
  void warnOfUpstreams(services.values(), log);
  log.info({ gateway: gatewayId, ...addresses, services: [...services.keys()] }, 'the gateway serves');
  return { config, addresses, stop: () => lifecycle.stop() };
}

/** @throws DaypassError `listen_failed`, naming whose address cannot be had */
function listening<Listener>(who: string, { host, port }: Address, starting: Promise<Listener>): Promise<Listener> {
  return starting.catch((cause: unknown) => {
    throw new DaypassError('listen_failed', `${who} cannot listen on ${host}:${port}: ${messageOf(cause)}`, { cause });
  });
}

function load(options: ServeOptions, protocols: readonly Protocol[]) {
  const env = { ...readEnvFile(join(options.dataDirectory, 'samples.env')), ...(options.env ?? process.env) };
  const loaded = loadConfig(options.configDirectory, protocols, env);
  if (!loaded.ok) throw new ConfigRefused(loaded.problems);
  return loaded;
}

/** The configuration has problems: all of them, in order. */
export class ConfigRefused extends DaypassError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(
      'config_refused',
      `The configuration has ${problems.length} problem(s):\n${problems.map(problemLine).join('\n')}`,
      { hint: 'daypass check' },
    );
    this.problems = problems;
  }
}

async function startLedger(dataDirectory: string, log: Log, lifecycle: Lifecycle): Promise<string> {
  log.info('no database is configured: the embedded PostgreSQL is used');
  const { startEmbeddedLedger } = await import('./embedded/ledger.js');
  const ledger = await startEmbeddedLedger(dataDirectory, log);
  lifecycle.onStop('embedded PostgreSQL', () => ledger.stop());
  return ledger.databaseUrl;
}

async function openStore(config: GatewayConfig, clock: Clock, log: Log): Promise<GrantStore> {
  return config.redis === undefined ? new MemoryGrantStore(clock) : await RedisGrantStore.open(config.redis, log);
}

async function signingKey(source: SigningKeySource | undefined, dataDirectory: string): Promise<SigningKey> {
  if (source !== undefined && 'pem' in source) return readSigningKey(source.pem);
  const path = source?.create ?? join(dataDirectory, 'grant.pem');
  return readSigningKey(await keptKey(path));
}

async function keptKey(path: string): Promise<string> {
  try {
    return await generateSigningKey(path);
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown;
    return readFile(path, 'utf8');
  }
}

/** A reload that is asked for while one is under way begins after it: an older file never wins over a newer one. */
function oneAtATime<T>(work: () => Promise<T>): () => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const next = last.then(work, work);
    last = next;
    return next;
  };
}

interface Live {
  readonly policies: Policies;
  readonly gate: Gate;
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Puts changed policies in force; wrong ones change nothing and are said loudly. Settings of `daypass.yaml` need a restart. */
async function reloadPolicies(options: ServeOptions, protocols: readonly Protocol[], live: Live): Promise<Reloaded> {
  const { policies, gate, pool, clock, log, metrics } = live;
  const problems = await replacePolicies(options, protocols, policies, pool);
  const services = policies.all().map(({ name }) => name);
  metrics.reloaded(problems.length > 0 ? null : clock.wall());
  if (problems.length > 0) log.error({ problems }, 'the policies were NOT reloaded: the old ones stay in force');
  else {
    gate.policiesChanged();
    log.info({ services }, 'the policies were reloaded');
    void warnOfUpstreams(policies.all(), log);
  }
  return { ok: problems.length === 0, services, problems };
}

async function replacePolicies(
  options: ServeOptions,
  protocols: readonly Protocol[],
  policies: Policies,
  pool: Pool,
): Promise<string[]> {
  try {
    const { services } = load(options, protocols);
    await rememberPolicies(pool, services.values());
    policies.replace(services);
    return [];
  } catch (thrown) {
    return thrown instanceof ConfigRefused ? thrown.problems.map(problemLine) : [messageOf(thrown)];
  }
}

function problemLine({ file, line, column, message }: ConfigProblem): string {
  return `${file}:${line}:${column}  ${message}`;
}

async function endRecording(
  recorder: Recorder,
  index: IndexWriter,
  presence: Presence,
  gate: Gate,
  log: Log,
): Promise<void> {
  gate.deadlines.stop();
  if (!(await recorder.drain(LAST_WRITE))) log.error('not everything could be recorded before the end');
  recorder.close();
  await index.close();
  await presence.stop();
}

/** Resolves when no session is live, or after `limit` milliseconds. */
async function untilIdle(gate: Gate, limit: number): Promise<void> {
  const deadline = systemClock.monotonic() + limit;
  while (gate.registry.all().some((session) => session.connections > 0) && systemClock.monotonic() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
