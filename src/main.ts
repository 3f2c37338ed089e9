import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { emergencies } from './access/emergency.js';
import { openAccessRequests } from './access/engagements.js';
import type { Audit } from './access/transact.js';
import { openAlerting } from './alerting.js';
import type { Notices } from './alerts/notice.js';
import { Outbox } from './alerts/outbox.js';
import { missing } from './api/health.js';
import { openNetworkApi } from './api/network.js';
import type { GatewayStatus, Reloaded } from './api/parts.js';
import { startApi } from './api/server.js';
import { appendAudit } from './audit/append.js';
import { AuditLog } from './audit/log.js';
import { reloadEntry } from './audit/reload.js';
import { startAuditStreams } from './audit/streams.js';
import { systemClock } from './clock.js';
import { outdated } from './config/certificates.js';
import type { GatewayConfig } from './config/gateway.js';
import { ANSWER_LIMIT, connectionsFor, LOOK_LIMIT } from './connections.js';
import { boundAddresses, openDoors, openHealth, type Ports } from './doors.js';
import { messageOf } from './errors.js';
import { type Foundation, foundation, KEEPING_LIMIT, type Places, version } from './foundation.js';
import type { TakeCarried } from './gate/carried.js';
import { Gate } from './gate/gate.js';
import type { LiveSessions } from './gate/live.js';
import { cutLost } from './gate/lost-meanwhile.js';
import { OrderedEnds } from './gate/ordered-ends.js';
import type { GrantAuthority } from './grant/authority.js';
import { isApart, startGrantWatch } from './grant/watch.js';
import { openGrants } from './granting.js';
import { schemeOf } from './http/browser/place.js';
import { openBrowserAccess } from './identity/browser-access.js';
import { openRecording } from './keeping.js';
import { openLeaving } from './leaving.js';
import { Lifecycle } from './lifecycle.js';
import { createLog, type Log } from './log.js';
import { openNotices } from './notices.js';
import { readinessOf, readingsOf } from './observe.js';
import type { Neighbours } from './postgres/cancel.js';
import { warnOfUpstreams } from './postgres/upstream-check.js';
import { PolicyTexts } from './recording/policies.js';
import { hasChanged, reloader, watchConfiguration } from './reload.js';

export interface ServeOptions extends Places {
  /** Given in a worker: one of several processes that serve the same addresses (`primary.ts`). */
  readonly worker?: WorkerPlace;
}

/** A worker among the others. */
export interface WorkerPlace {
  /** From 0; the first keeps what belongs to the gateway as a whole. */
  readonly index: number;
  /** Where the primary asks this worker. */
  readonly socketPath: string;
  readonly neighbours: Neighbours;
}

/** A gateway that serves. */
export interface Gateway {
  readonly config: GatewayConfig;
  readonly addresses: Ports;
  /** Stops admitting, lets live sessions go on for `drain`, cuts the rest, writes everything. */
  stop(): Promise<void>;
}

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

/** The gate, and the watch over what its live sessions hold. */
async function openGate(base: Foundation, { store, ledger, grants }: Grants, recording: Recording) {
  const { config, policies, pool, clock, metrics, log, lifecycle } = base;
  const { recorder, networks, presence } = recording;
  const gate = new Gate({ grants, policies, recorder, networks, clock, log, metrics });
  presence.doubted = () => cutLost(pool, gate.live.registry);
  grants.onChange((id, revokedAt) => {
    if (revokedAt === undefined) gate.live.recheck(id);
    else gate.live.over(id, 'revoked', revokedAt);
  });
  lifecycle.onStop('deadlines', () => gate.live.deadlines.stop());
  const staleness = config.stalenessSeconds * 1000;
  const watch = await startGrantWatch({ store, ledger, watcher: gate.live, staleness, clock, log });
  lifecycle.onStop('grant watch', () => watch.stop());
  const ends = new OrderedEnds({ pool, store, registry: gate.live.registry, log });
  await ends.start();
  lifecycle.onStop('ends of sessions', () => ends.stop());
  return { gate, watch, ends };
}

type Grants = Awaited<ReturnType<typeof openGrants>>;
type Recording = Awaited<ReturnType<typeof openRecording>>;
type Alerting = ReturnType<typeof openAlerting>;

/** With whether the clock is that of the others: what comes about by time alone, and for good, is left to whoever's is. */
type Timed = Foundation & { readonly clockAgrees: () => boolean };

/** Logins and sessions of browsers. */
function openAccess(base: Timed, { grants }: Grants, watcher: LiveSessions) {
  const { config, clock, clockAgrees, log, lifecycle } = base;
  const staleness = config.stalenessSeconds * 1000;
  // Anybody may make it ask: what grants and revocations need is not what they wait for.
  const pool = connectionsFor('browsers', base, { max: 4, answerWithin: ANSWER_LIMIT });
  const { oidc, duties, domain } = config;
  const parts = { pool, grants, watcher, staleness, clock, clockAgrees, log, oidc, duties, domain, audit: appendAudit };
  const access = openBrowserAccess(parts);
  lifecycle.onStop('browser access', () => access.stop());
  return access;
}

/** What people ask for, and who agrees. */
function openRequests(base: Timed, grants: GrantAuthority, audit: Audit, { raise }: Alerting, notices: Notices) {
  const { config, policies, clock, clockAgrees, metrics, log, lifecycle } = base;
  const pool = connectionsFor('requests', base, { max: 4, answerWithin: KEEPING_LIMIT });
  const engagements = openAccessRequests({
    ...{ pool, grants, policies, audit, clock, clockAgrees, log, reviews: config.reviews, notices },
    ...emergencies({ log, metrics, raise, enabled: config.alerts.break_glass.enabled }),
  });
  lifecycle.onStop('requests', () => engagements.stop());
  return engagements;
}

async function build(options: ServeOptions, log: Log, lifecycle: Lifecycle): Promise<Gateway> {
  const embedded = () => startLedger(options.dataDirectory, log, lifecycle);
  const base = await foundation(options, log, lifecycle, embedded);
  const { config, clock, metrics, policies, protocols, pool, dataDirectory } = base;
  const { worker: place } = options;
  const granted = await openGrants(base, place?.index ?? 0);
  const outbox = new Outbox(clock);
  const alerting = openAlerting({ ...base, notices: outbox });
  const recording = await openRecording(base, alerting);
  const { gate, watch, ends } = await openGate(base, granted, recording);
  const { gatewayId, recorder, presence } = recording;
  const timed = { ...base, clockAgrees: () => !isApart(watch.health().skew) };
  alerting.begin({ gatewayId, watch, recorder, grants: granted.grants, ledger: !place?.index });

  metrics.serves(policies.all(), clock.monotonic());
  metrics.reloaded(clock.wall());
  const texts = new PolicyTexts(pool, log);
  lifecycle.onStop('policy texts', () => texts.stop());
  let draining = false;
  const observed = { watch, presence, recorder, stopping: () => draining };
  const checks = readinessOf(observed);
  metrics.read(readingsOf(observed, () => Object.keys(missing(checks)).length === 0));

  const access = openAccess(timed, granted, gate.live);
  const { grants } = granted;
  const { logins, tokens, people, accounts, passkeys } = access;
  const startedAt = new Date(clock.wall()).toISOString();
  const { domain } = config;
  const addresses = { http: 0, postgres: 0, health: 0 };
  const status = (): GatewayStatus => ({
    ...{ version, gatewayId, pid: process.pid, startedAt, domain },
    listen: boundAddresses(config.listen, addresses),
    httpsOnly: config.tls?.http === true,
    scheme: schemeOf(domain, config.tls?.http === true, config.public.url),
    public: config.public,
    liveSessions: gate.live.registry.all().length,
    notReady: Object.keys(missing(checks)),
    problems: policies.problems,
    services: policies.all().map(({ name, protocol, roles }) => ({ name, protocol, roles: [...roles.keys()] })),
  });
  // A look at records may take long: what grants and revocations need is not what it takes.
  const reading = connectionsFor('readers', base, { max: 4, answerWithin: LOOK_LIMIT });
  const audit = new AuditLog({ pool, reading, key: granted.key, keys: granted.keys, clock });
  if (!place?.index) streamAudit(base);
  const { notices, announcing } = openNotices({ ...timed, outbox, status, delivers: !place?.index });
  alerting.onRaised(notices.call);
  const { requests, ndas, direct, reviews } = openRequests(timed, grants, announcing(appendAudit), alerting, outbox);
  const leaving = openLeaving({
    ...base,
    ...{ signingKey: granted.key, gate, logins, grants },
    closeAccount: async (actor, subject, reason) => ({ ...(await accounts.close(actor, subject, reason)) }),
  });
  const told = { reviews, alerts: alerting.book, unverified: alerting.unverified };
  const routes = {
    grants,
    people,
    requests,
    ndas,
    direct,
    notices,
    ...told,
    audit,
    policies,
    gate,
    ends,
    pool: reading,
    protocols,
    status,
    clock,
    log,
  };
  const { duties } = config;
  const answered = (code: number) => metrics.answeredByApi(code);
  const ways = new Map<string, TakeCarried>();
  const network = await openNetworkApi({
    ...routes,
    repeats: pool,
    ways,
    bearers: access.bearers,
    accounts,
    passkeys,
    leaving,
    logins,
    tokens,
    duties,
    answered,
    version,
  });
  lifecycle.onStop('network API', () => network.close());
  const pages = { api: network.serve, desk: { requests, ndas, policies } };
  const { ports, showCertificate, take } = await openDoors(base, gate, access, granted, pages, place?.neighbours);
  for (const [protocol, way] of Object.entries(take)) ways.set(protocol, way);
  Object.assign(addresses, ports);
  if (place === undefined) addresses.health = await openHealth(base, checks);
  const reload = reloader(options, protocols, { policies, gate, texts, clock, log, metrics, showCertificate, notices });
  const socketPath = place?.socketPath ?? join(dataDirectory, 'daypass.sock');
  const worker = place && { missing: () => missing(checks), metrics: () => metrics.registry.getMetricsAsJSON() };
  const operator = { ...routes, accounts, passkeys, leaving, socketPath, logins, reload, worker };
  const api = await startApi(operator);
  lifecycle.onStop('operator socket', () => api.close());
  // Stopped after `drain`: policies may still be narrowed for those who stay so long.
  const watcher = watchConfiguration(options.configDirectory, () => reloadUnasked(reload, audit, gatewayId, log), log);
  lifecycle.onStop('configuration watch', () => watcher.stop());
  // What was changed while this started was read before anybody watched.
  if (hasChanged(options, protocols, policies, config.notices)) await reload();
  lifecycle.onStop('drain', async () => {
    draining = true;
    // The listeners stay open until the end: whoever comes is told why, in the client's own protocol.
    gate.stopAdmitting();
    log.info({ sessions: gate.live.registry.all().length, drain: config.drainSeconds }, 'the gateway stops');
    await untilIdle(gate, config.drainSeconds * 1000);
    gate.live.cutAll('shutdown');
  });
  void warnOfUpstreams(policies.all(), log);
  for (const warning of outdated(config.tls, policies.all(), clock.wall())) log.warn(warning);
  log.info(
    { gateway: gatewayId, ...addresses, services: policies.all().map(({ name }) => name) },
    place === undefined ? 'the gateway serves' : 'a worker serves',
  );
  return { config, addresses, stop: () => lifecycle.stop() };
}

/** Tells others of the audit log; one of a gateway's workers does. */
function streamAudit(base: Foundation): void {
  const { config, log, lifecycle } = base;
  const pool = connectionsFor('audit', base, { max: 2, answerWithin: KEEPING_LIMIT });
  const streams = startAuditStreams(config.audit, pool, log);
  lifecycle.onStop('audit streams', () => streams.stop());
}

/**
 * Reads changed files again. Nobody who could be named asked for it, and it does not wait for the ledger: it may take
 * access away.
 */
async function reloadUnasked(reload: () => Promise<Reloaded>, audit: AuditLog, gatewayId: string, log: Log) {
  const who = { actor: 'gateway', via: 'system', reason: 'the files have changed, or SIGHUP' } as const;
  const entry = reloadEntry(who, gatewayId, await reload());
  await audit.append(entry).catch((thrown: unknown) => {
    log.error({ err: messageOf(thrown) }, 'a reload could not be written down in the audit log');
  });
}

async function startLedger(dataDirectory: string, log: Log, lifecycle: Lifecycle): Promise<string> {
  log.info('no database is configured: the embedded PostgreSQL is used');
  const { startEmbeddedLedger } = await import('./embedded/ledger.js');
  const ledger = await startEmbeddedLedger(dataDirectory, log);
  lifecycle.onStop('embedded PostgreSQL', () => ledger.stop());
  return ledger.databaseUrl;
}

/** Resolves when no session is live, or after `limit` milliseconds. */
async function untilIdle(gate: Gate, limit: number): Promise<void> {
  const deadline = systemClock.monotonic() + limit;
  while (gate.live.registry.all().some((session) => session.connections > 0) && systemClock.monotonic() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
