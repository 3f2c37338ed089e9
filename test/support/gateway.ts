import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import type { Test } from 'tap';
import { parseDuration } from '../../src/config/duration.js';
import { createLog, type Log } from '../../src/log.js';
import { type Gateway, serve } from '../../src/main.js';
import type { RecordedEvent } from '../../src/recording/event.js';
import { TEST_KEY } from './key.js';
import { ledgerDatabase } from './ledger.js';
import { exitsWhenDone } from './lingering.js';
import type { Database, PostgresServer } from './postgres.js';

/** A whole gateway in this process, on free ports, with a ledger of its own. */
export interface TestGateway {
  readonly gateway: Gateway;
  readonly ledger: Database;
  readonly dataDirectory: string;
  readonly configDirectory: string;
  readonly ports: { readonly http: number; readonly postgres: number; readonly health: number };
  /** Lines of the gateway's log, parsed. */
  readonly lines: Record<string, unknown>[];
  /** Issues a grant as the operator would. */
  issue(grant: IssueGrant): Promise<IssuedGrant>;
  /** One request to the operator's socket. */
  operator(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }>;
  /** Writes a service's policy file and puts it in force. */
  policy(service: string, yaml: string): Promise<void>;
  /** The recorded events of all sessions, in order, as the operator reads them. */
  events(): Promise<RecordedLine[]>;
  stop(): Promise<void>;
}

export interface IssueGrant {
  readonly service: string;
  readonly role?: string;
  readonly principal?: string;
  /** Like `10m`. */
  readonly for?: string;
}

export interface IssuedGrant {
  readonly id: string;
  readonly handle: string;
  readonly expiresAt: string;
}

export interface RecordedLine extends RecordedEvent {
  readonly session: string;
}

export interface GatewayOptions {
  /** Policy files by service name. */
  readonly services: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** `localhost` when not given. */
  readonly domain?: string;
  /** More lines for `daypass.yaml`. */
  readonly settings?: string;
  /** A ledger that is there already (two gateways over one). */
  readonly ledger?: Database;
  readonly ledgerServer?: PostgresServer;
  readonly redisUrl?: string;
  /** More files for the configuration's folder, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** PEM of the signing key, shared by two gateways. */
  readonly signingKey?: string;
}

/** Starts a gateway and stops it when `t` ends. */
export async function startGateway(t: Test, options: GatewayOptions): Promise<TestGateway> {
  await exitsWhenDone();
  const root = await mkdtemp('/tmp/dp-gw-');
  const configDirectory = join(root, 'config');
  const dataDirectory = join(root, 'data');
  await writeConfiguration(configDirectory, options);
  const ledger = options.ledger ?? (await ledgerDatabase(t, options.ledgerServer));
  const lines: Record<string, unknown>[] = [];
  const env = {
    DATABASE_URL: ledger.url,
    ...(options.redisUrl === undefined ? {} : { REDIS_URL: options.redisUrl }),
    ...options.env,
  };
  const gateway = await serve({ configDirectory, dataDirectory, env }, capturingLog(lines));
  let stopped: Promise<void> | null = null;
  const stop = () => {
    stopped ??= gateway.stop();
    return stopped;
  };
  t.teardown(async () => {
    await stop();
    await rm(root, { recursive: true, force: true });
  });
  const socketPath = join(dataDirectory, 'daypass.sock');
  const operator = (method: string, path: string, body?: unknown) => ask(socketPath, method, path, body);
  return {
    gateway,
    ledger,
    dataDirectory,
    configDirectory,
    ports: gateway.addresses,
    lines,
    operator,
    issue: (grant) => issueWith(operator, grant),
    policy: async (service, yaml) => {
      await writeFile(join(configDirectory, 'services', `${service}.yaml`), yaml);
      const answer = await operator('POST', '/v1/reload', {});
      if (answer.status >= 300) throw new Error(`no reload: ${JSON.stringify(answer.body)}`);
    },
    events: () => readEvents(ledger),
    stop,
  };
}

/** Writes `daypass.yaml`, the services' files and the key into a directory. */
export async function writeConfiguration(directory: string, options: GatewayOptions): Promise<void> {
  await mkdir(join(directory, 'services'), { recursive: true });
  const key = options.signingKey ?? TEST_KEY;
  await writeFile(join(directory, 'grant.pem'), key, { mode: 0o600 });
  const settings = [
    `domain: ${options.domain ?? 'localhost'}`,
    'listen: { http: 127.0.0.1:0, postgres: "127.0.0.1:0", health: "[::1]:0" }',
    'database: { env: DATABASE_URL }',
    'redis: { env: REDIS_URL }',
    'signing_key: { file: grant.pem }',
    options.settings ?? 'drain: 0s',
  ];
  await writeFile(join(directory, 'daypass.yaml'), `${settings.join('\n')}\n`);
  for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(directory, name), text);
  for (const [name, yaml] of Object.entries(options.services))
    await writeFile(join(directory, 'services', `${name}.yaml`), yaml);
}

/** The real log, its finished lines caught instead of written. */
function capturingLog(lines: Record<string, unknown>[]): Log {
  return createLog('debug', (line) => lines.push(JSON.parse(line)));
}

/** One request to the operator's socket of a data directory. */
export function ask(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const req = request({ socketPath, method, path, headers }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: res.statusCode ?? 0, body: text === '' ? {} : JSON.parse(text) });
      });
    });
    req.on('error', reject);
    req.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** How often the operator asks again while the ledger does not answer in time: a busy machine is no fault of the gateway. */
const TRIES = 20;

/** Asks as an operator who is told that the ledger or the store did not answer: again. */
export async function patiently<Answer extends { readonly body: Readonly<Record<string, unknown>> }>(
  ask: () => Promise<Answer>,
): Promise<Answer> {
  for (let left = TRIES; ; left -= 1) {
    const answer = await ask();
    const unavailable = /"(?:ledger|store)_unavailable"/.test(JSON.stringify(answer.body.error ?? null));
    if (left === 0 || !unavailable) return answer;
    await pause(250);
  }
}

/** Issues a grant as the operator would. */
export async function issueWith(operator: TestGateway['operator'], grant: IssueGrant): Promise<IssuedGrant> {
  const { service, role, principal = 'alice', for: duration = '10m' } = grant;
  const asked = {
    principal,
    service,
    ...(role === undefined ? {} : { role }),
    durationSeconds: parseDuration(duration),
    sponsor: 'dana',
    reason: 'a test of the gateway',
    by: 'ops',
  };
  const answer = await patiently(() => operator('POST', '/v1/grants', asked));
  if (answer.status >= 300) throw new Error(`no grant: ${JSON.stringify(answer.body)}`);
  return answer.body as unknown as IssuedGrant;
}

/** Reads the evidence itself, past every reader of the gateway's. */
export async function readEvents(ledger: Database): Promise<RecordedLine[]> {
  const { inflateRawSync } = await import('node:zlib');
  const rows = await ledger.query<{ session_id: string; payload: Buffer }>(
    'select session_id, payload from daypass.blocks order by session_id, first_seq',
  );
  return rows.flatMap(({ session_id, payload }) => {
    const lines = inflateRawSync(payload).toString().split('\n');
    return lines.flatMap((line, i) => {
      if (i % 2 === 1) return [];
      const { n, t, k, f } = JSON.parse(line);
      const body = lines[i + 1] ?? '';
      return [
        { session: session_id, seq: n, at: t, kind: k, facts: f, payload: body === '' ? null : JSON.parse(body) },
      ];
    });
  });
}

/** A connected node-postgres client through a gateway's Postgres port. */
export async function throughGateway(
  t: Test,
  port: number,
  handle: string,
  options: pg.ClientConfig = {},
): Promise<pg.Client> {
  const client = unconnected(port, handle, options);
  await client.connect();
  t.teardown(() => client.end().catch(() => {}));
  return client;
}

/** The same, before it connects. */
export function unconnected(port: number, handle: string, options: pg.ClientConfig = {}): pg.Client {
  const way = { host: '127.0.0.1', port, user: 'alice', database: 'orders-db', password: handle };
  const client = new pg.Client({ ...way, ...options });
  client.on('error', () => {}); // being cut is what many tests are about
  return client;
}
