import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { type Clock, systemClock } from './clock.js';
import { Policies } from './gate/policies.js';
import type { Lifecycle } from './lifecycle.js';
import type { Log } from './log.js';
import { Metrics } from './metrics.js';
import { loadProtocols } from './protocols.js';
import { openDatabase } from './recording/database.js';
import { examineDatabase } from './recording/examine.js';
import { ensurePartitions, migrate } from './recording/migrate.js';
import { rememberPolicies } from './recording/policies.js';
import { loadPolicies } from './reload.js';

/** Where a gateway finds what it is told, and keeps what it must. */
export interface Places {
  /** The folder with `daypass.yaml` and `services/`. */
  readonly configDirectory: string;
  /** Where the operator's socket and what must outlive a restart are kept. */
  readonly dataDirectory: string;
  /** The process's environment unless given. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The machine's unless given. */
  readonly clock?: Clock;
}

/** The package's. */
export const { version }: { version: string } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
);

/** How long one query may take that says nothing of its own: signs of life, lost sessions, the index. Milliseconds. */
export const KEEPING_LIMIT = 10_000;

/** Who asks for grants waits a second: ten of waiting for a lock would leave 80 connections of these eight, milliseconds. */
const LOCKS_WITHIN = 2_000;

/**
 * What everything else stands on: the configuration, the policies in force, the ledger's database.
 * @param startLedger - starts a database where the configuration names none, and answers its URL
 */
export async function foundation(options: Places, log: Log, lifecycle: Lifecycle, startLedger: () => Promise<string>) {
  const { dataDirectory, clock = systemClock } = options;
  const metrics = new Metrics();
  metrics.describeProcess(version);
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  const protocols = await loadProtocols();
  const { gateway: config, services } = loadPolicies(options, protocols);
  const databaseUrl = config.database ?? (await startLedger());
  await prepare(databaseUrl, clock.wall());
  const pool = openDatabase(databaseUrl, { log, locksWithin: LOCKS_WITHIN, answerWithin: KEEPING_LIMIT });
  lifecycle.onStop('ledger connections', () => pool.end());
  await rememberPolicies(pool, services.values());
  const policies = new Policies(services);
  return { dataDirectory, clock, metrics, protocols, config, databaseUrl, pool, policies, log, lifecycle };
}

/** Examines the ledger, and brings its schema to this version: with connections of its own, since that may take long. */
async function prepare(databaseUrl: string, now: number): Promise<void> {
  const pool = openDatabase(databaseUrl, { max: 1 });
  try {
    await examineDatabase(pool);
    await migrate(pool);
    await ensurePartitions(pool, now);
  } finally {
    await pool.end();
  }
}

export type Foundation = Awaited<ReturnType<typeof foundation>>;
