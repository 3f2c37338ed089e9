import { join } from 'node:path';
import pg from 'pg';
import { ask, type IssuedGrant, type IssueGrant, issueWith, writeConfiguration } from '../support/gateway.js';
import type { PostgresServer } from '../support/postgres.js';
import { Child } from './child.js';
import { folder } from './folder.js';
import type { Scope } from './scope.js';

/** The gateway under measurement, in a process of its own. */
export interface BenchGateway {
  readonly child: Child;
  readonly ports: { readonly http: number; readonly postgres: number };
  issue(grant: IssueGrant): Promise<IssuedGrant>;
  operator(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }>;
}

export interface BenchGatewayOptions {
  readonly services: Readonly<Record<string, string>>;
  /** More of `daypass.yaml`, `drain: 0s` among it. */
  readonly settings?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly ledger: string;
  readonly redisUrl: string;
  /** Processes that serve; one unless told. */
  readonly workers?: number;
  /** Its recorder writes nothing. */
  readonly recordsNothing?: boolean;
  /** Where Node writes a CPU profile at the end. */
  readonly profile?: string | undefined;
  readonly flags?: readonly string[];
}

/** Starts the gateway as it is served, or one whose recorder writes nothing. */
export async function startBenchGateway(scope: Scope, options: BenchGatewayOptions): Promise<BenchGateway> {
  const root = await folder(scope);
  const config = join(root, 'config');
  const data = join(root, 'data');
  const { profile, services, settings } = options;
  await writeConfiguration(config, { services, ...(settings === undefined ? {} : { settings }) });
  const child = await Child.start(scope, 'gateway', {
    args: [config, data, String(options.workers ?? 1), ...(options.recordsNothing ? ['null'] : [])],
    flags: [...(options.flags ?? []), ...(profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`])],
    env: { DATABASE_URL: options.ledger, REDIS_URL: options.redisUrl, ...options.env },
  });
  const operator = (method: string, path: string, body?: unknown) =>
    ask(join(data, 'daypass.sock'), method, path, body);
  return {
    child,
    ports: { http: Number(child.ready.http), postgres: Number(child.ready.postgres) },
    operator,
    issue: (grant) => issueWith(operator, grant),
  };
}

let databases = 0;

/** An empty database on a server that goes with its scope. */
export async function makeDatabase(server: PostgresServer): Promise<string> {
  databases += 1;
  const name = `bench_${databases}`;
  await runSql(server.url(), `create database ${name}`);
  return server.url(name);
}

/** Runs statements on a short connection. */
export async function runSql(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return rows;
  } finally {
    await client.end();
  }
}
