import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { pino } from 'pino';
import type { Test } from 'tap';
import { z } from 'zod';
import type { Clock } from '../../src/clock.js';
import { systemClock } from '../../src/clock.js';
import type { ServicePolicy } from '../../src/config/protocol.js';
import type { HttpProxies } from '../../src/config/proxies.js';
import { scopeOf } from '../../src/config/scope.js';
import { valueSchemas } from '../../src/config/values.js';
import { Gate } from '../../src/gate/gate.js';
import { Policies } from '../../src/gate/policies.js';
import { Shares } from '../../src/gate/shares.js';
import { Strangers } from '../../src/gate/strangers.js';
import type { Grant, GrantCheck } from '../../src/grant/grant.js';
import { confirmationOf, formatHandle, mintId, mintSecret } from '../../src/grant/handle.js';
import { readSigningKey } from '../../src/grant/keys.js';
import { Identity } from '../../src/http/identity.js';
import { type HttpListener, startHttp } from '../../src/http/listener.js';
import { httpProtocol } from '../../src/http/protocol.js';
import type { UpstreamLimits } from '../../src/http/service/upstream-pool.js';
import { openBrowserAccess } from '../../src/identity/browser-access.js';
import { Metrics } from '../../src/metrics.js';
import type { DenialReason } from '../../src/policy/reason.js';
import { unpackBlock } from '../../src/recording/block.js';
import { decodeEvent } from '../../src/recording/chain.js';
import { openDatabase } from '../../src/recording/database.js';
import type { RecordedEvent } from '../../src/recording/event.js';
import { migrate } from '../../src/recording/migrate.js';
import { Recorder } from '../../src/recording/recorder.js';
import { uuid7 } from '../../src/recording/uuid7.js';
import { TEST_KEY } from '../support/key.js';
import { ledgerDatabase } from '../support/ledger.js';
import { exitsWhenDone } from '../support/lingering.js';
import { portOf } from '../support/ports.js';
import type { Database } from '../support/postgres.js';
import { waitUntil } from '../support/wait.js';
import { anyPair, authorityOf, dial, overTls, speaksFromNow } from './over-tls.js';

/** What a test's policy says. */
export interface ServiceText {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly identityHeaders?: Readonly<Record<string, string>>;
  readonly preserveHost?: boolean;
  readonly queryOnly?: boolean;
  readonly passAuthorization?: boolean;
  readonly responseTimeout?: string;
  /** That of the gateway's other services when not given. */
  readonly mode?: 'strict' | 'buffered';
  /** Names of files with PEM texts. */
  readonly tls?: unknown;
  /** What each role allows; or its whole block. */
  readonly roles: Readonly<Record<string, readonly unknown[] | RoleBlock>>;
}

/** A role as its file states it. */
export interface RoleBlock {
  readonly allow: readonly unknown[];
  readonly websocket?: unknown;
  readonly recording?: unknown;
}

/** A grant of a test, and what its holder presents. */
export interface Issued {
  readonly id: string;
  readonly handle: string;
}

/** A gateway with HTTP alone, recording on a real PostgreSQL. */
export interface TestGateway {
  readonly port: number;
  readonly http: HttpListener;
  readonly gate: Gate;
  readonly recorder: Recorder;
  readonly metrics: Metrics;
  readonly database: Database;
  /** Log lines, as written. */
  readonly lines: string[];
  issue(
    service: string,
    options?: { role?: string; forMs?: number; principal?: string } & Partial<
      Pick<Grant, 'groups' | 'window' | 'only'>
    >,
  ): Issued;
  revoke(id: string): void;
  /** Extends a grant by this long from now, milliseconds. */
  renew(id: string, forMs: number): void;
  /** Replaces the policy of one service. */
  reload(service: string, text: ServiceText): void;
  /** Every recorded event, in order, once everything queued is written. */
  events(): Promise<RecordedEvent[]>;
  stop(): Promise<void>;
}

export interface GatewayOptions {
  readonly clock?: Clock;
  readonly headTimeout?: number;
  readonly upstreamLimits?: UpstreamLimits;
  readonly messageMemory?: number;
  readonly messageTimeout?: number;
  readonly mode?: 'strict' | 'buffered';
  readonly stallAfter?: number;
  readonly bufferBytes?: number;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly proxies?: HttpProxies;
  /** How many strangers there is room for. */
  readonly mostStrangers?: number;
  /** For how many connections of people. */
  readonly mostOfPeople?: number;
  /** Why the grants of these ids are not to be used, as the store would say. */
  readonly refused?: ReadonlyMap<string, DenialReason>;
}

/** Starts a gateway for these services; everything is stopped when `t` ends. */
export async function startGateway(
  t: Test,
  services: Readonly<Record<string, ServiceText>>,
  options: GatewayOptions = {},
): Promise<TestGateway> {
  await exitsWhenDone();
  const clock = options.clock ?? systemClock;
  const database = await ledgerDatabase(t);
  const pool = openDatabase(database.url, { max: 4 });
  await migrate(pool);
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const { stallAfter, bufferBytes } = options;
  const recorder = new Recorder({
    pool,
    gatewayId: uuid7(Date.now()),
    clock,
    log,
    ...(stallAfter === undefined ? {} : { stallAfter }),
    ...(bufferBytes === undefined ? {} : { bufferBytes }),
  });
  const texts = new Map(Object.entries(services));
  const compiled = () =>
    new Map([...texts].map(([name, text]) => [name, policyOf(name, text, options.mode ?? 'strict')]));
  const policies = new Policies(compiled());
  const grants = new Map<string, Grant>();
  const check = async (id: string): Promise<GrantCheck> => {
    const reason = options.refused?.get(id);
    return reason === undefined ? checkOf(grants, id) : { ok: false, reason, message: `it is ${reason}` };
  };
  const metrics = new Metrics();
  const gate = new Gate({ grants: { check }, policies, recorder, clock, log, metrics });
  const book = { check, list: async () => [] };
  const access = openBrowserAccess({
    pool,
    grants: book,
    watcher: gate.live,
    staleness: 15_000,
    clock,
    log,
    audit: async () => {},
    domain: 'localhost',
  });
  const { headTimeout, upstreamLimits, messageMemory, messageTimeout, proxies } = options;
  const tls = options.tls ?? (overTls.clients ? await anyPair() : undefined);
  const http = await startHttp({
    strangers: new Strangers({ log, metrics, most: options.mostStrangers, shares: new Shares(options.mostOfPeople) }),
    gate,
    access,
    log,
    clock,
    domain: 'localhost',
    identity: new Identity(readSigningKey(TEST_KEY), () => clock.wall()),
    host: '127.0.0.1',
    port: 0,
    metrics,
    tls,
    proxies,
    messageMemory,
    messageTimeout,
    ...(headTimeout === undefined ? {} : { headTimeout }),
    ...(upstreamLimits === undefined ? {} : { upstreamLimits }),
  });
  speaksFromNow(http.address.port, tls?.cert);
  let stopped = false;
  const stop = async () => {
    if (stopped) return;
    stopped = true;
    gate.live.cutAll('shutdown');
    await http.stop();
    access.stop();
    gate.live.deadlines.stop();
    await recorder.drain(2_000);
    recorder.close();
    await pool.end();
  };
  t.teardown(stop);
  return {
    port: http.address.port,
    http,
    gate,
    recorder,
    metrics,
    database,
    lines,
    issue: (service, { role = 'viewer', forMs = 60_000, principal = 'alice', ...over } = {}) => {
      const { grant, handle } = newGrant(service, role, principal, clock.wall(), forMs, over);
      grants.set(grant.id, grant);
      return { id: grant.id, handle };
    },
    revoke: (id) => {
      grants.delete(id);
      gate.live.recheck(id);
    },
    renew: (id, forMs) => {
      const grant = grants.get(id);
      if (grant === undefined) throw new Error(`no grant ${id}`);
      grants.set(id, { ...grant, expiresAt: clock.wall() + forMs, renewals: grant.renewals + 1 });
      gate.live.recheck(id);
    },
    reload: (service, text) => {
      texts.set(service, text);
      policies.replace(compiled());
      gate.live.policiesChanged();
    },
    events: async () => {
      if (!stopped && !(await recorder.drain(5_000))) throw new Error('the recorder did not drain');
      return eventsOf(database);
    },
    stop,
  };
}

async function eventsOf(database: Database): Promise<RecordedEvent[]> {
  const blocks = await database.query<{ payload: Buffer; format: number }>(
    'select payload, format from daypass.blocks order by session_id, first_seq',
  );
  return blocks.flatMap(({ payload, format }) => unpackBlock(payload, format).map(decodeEvent));
}

function checkOf(grants: ReadonlyMap<string, Grant>, id: string): GrantCheck {
  const grant = grants.get(id);
  return grant ? { ok: true, grant } : { ok: false, reason: 'revoked', message: 'this grant was revoked' };
}

function newGrant(
  service: string,
  role: string,
  principal: string,
  now: number,
  forMs: number,
  over: Partial<Pick<Grant, 'groups' | 'window' | 'only'>>,
) {
  const id = mintId();
  const secret = mintSecret();
  const grant: Grant = {
    id,
    service,
    principal,
    role,
    sponsor: 'dana',
    reason: 'a test',
    lane: 'production',
    owner: 'group:web-leads',
    issuedAt: now,
    notBefore: now,
    expiresAt: now + forMs,
    renewals: 0,
    ...{ groups: [], request: null, nda: null, window: null, only: null },
    ...over,
    scram: null,
    confirmation: confirmationOf(secret),
    token: `token of ${id}`,
  };
  return { grant, handle: formatHandle({ id, secret }) };
}

let versions = 0;

/** A policy through the protocol's own schema and compiler. */
function policyOf(name: string, text: ServiceText, mode: 'strict' | 'buffered' = 'strict'): ServicePolicy {
  const secrets = Object.values(text.headers ?? {});
  const env = Object.fromEntries(secrets.map((value, index) => [`SECRET_${index}`, value]));
  const headers = Object.fromEntries(
    Object.keys(text.headers ?? {}).map((key, index) => [key, { env: `SECRET_${index}` }]),
  );
  const values = valueSchemas({ env, directory: '/' });
  const upstream = httpProtocol.upstream(values).parse({
    url: text.url,
    headers,
    identity_headers: text.identityHeaders,
    tls: text.tls ?? authorityOf(text.url),
    preserve_host: text.preserveHost,
    query_only: text.queryOnly,
    pass_authorization: text.passAuthorization,
    response_timeout: text.responseTimeout,
  });
  const roles = new Map<string, unknown>();
  for (const [role, written] of Object.entries(text.roles)) {
    const block = Array.isArray(written) ? { allow: written } : written;
    const compiled = httpProtocol.compileRole(role, [httpProtocol.role(values).parse(block)], upstream);
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
    roles.set(role, compiled.value);
  }
  versions += 1;
  return {
    name,
    protocol: 'http',
    lane: 'production',
    owner: 'group:web-leads',
    upstream,
    roles,
    defaultRole: z.string().parse(Object.keys(text.roles)[0]),
    ...scopeOf(httpProtocol, roles),
    grants: { maxDurationSeconds: 3600, maxRenewals: 1 },
    recording: { mode: text.mode ?? mode },
    secrets: values.names.sought(httpProtocol.injected(upstream, [])),
    certificate: null,
    version: `version ${versions}`,
    text: '',
  };
}

/** The machine's clock, which a test may set forward: what waits for a time waits no longer then, once it looks. */
export class HastyClock implements Clock {
  /** Milliseconds. */
  ahead = 0;

  wall(): number {
    return systemClock.wall() + this.ahead;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.ahead;
  }
}

/** Keeps the ledger from committing any event. Resolves when it does; the answer lets it go on. */
export async function lockLedger({ database }: Pick<TestGateway, 'database'>): Promise<() => Promise<unknown>> {
  const locker = await database.client();
  await locker.query('begin; lock table daypass.blocks in access exclusive mode');
  return () => locker.query('rollback');
}

/** Resolves when so many wait for a lock in a database: an event that is to be committed, while the ledger is locked. */
export function untilWaiting({ database }: Pick<TestGateway, 'database'>, count = 1): Promise<void> {
  const waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
  return waitUntil('the record waits', async () => (await database.query(waits)).length >= count);
}

/** README, "What is promised": a session is cut at the most so much late, milliseconds. */
export const LATEST = 250;

/**
 * How late a session was cut by its own receipt, milliseconds; NaN when the event is no receipt of a cut. Measured inside the
 * gateway: what a client sees comes later, by as much as the machine has other things to do.
 */
export function lateness(receipt: RecordedEvent | undefined): number {
  return Date.parse(String(receipt?.facts.cutAt)) - Date.parse(String(receipt?.facts.dueAt));
}

/** A client that speaks bytes: what is sent is what arrives. */
export interface RawClient {
  readonly socket: Socket;
  /** Everything received so far. */
  text(): string;
  /** Resolves when the pattern has been received. */
  sees(pattern: RegExp): Promise<string>;
  /** Resolves with everything when the gateway has ended the connection. */
  ended: Promise<string>;
}

/** Connects and sends; closed when `t` ends. */
export function raw(t: Pick<Test, 'teardown'>, port: number, bytes: string | Buffer): RawClient {
  return rawOver(t, dial(port), bytes);
}

/** The same, over a connection whatever it speaks. */
export function rawOver(t: Pick<Test, 'teardown'>, socket: Socket, bytes: string | Buffer): RawClient {
  let seen = '';
  socket.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.write(bytes);
  t.teardown(() => socket.destroy());
  const ended = new Promise<string>((resolve) => socket.once('close', () => resolve(seen)));
  const sees = (pattern: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => pattern.test(seen) && resolve(seen);
      socket.on('data', look);
      socket.once('close', () => reject(new Error(`closed without ${pattern}: ${JSON.stringify(seen)}`)));
      look();
    });
  return { socket, text: () => seen, sees, ended };
}

/** The port of a listening server, closed when `t` ends. */
export async function listen(t: Pick<Test, 'teardown'>, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return portOf(server.address());
}
