import type pg from 'pg';
import type { Lifecycle } from './lifecycle.js';
import type { Log } from './log.js';
import { openDatabase } from './recording/database.js';

/** Where connections to the ledger lead, and with whom they end. */
export interface LedgerAccess {
  readonly databaseUrl: string;
  readonly log: Log;
  readonly lifecycle: Lifecycle;
}

/**
 * Connections to the ledger for one use alone, so that nothing else waits for what takes long there. They are closed with the
 * gateway; the ledger knows them as `daypass-<use>`.
 * @param options - how many at the most, and how long one of their queries may take, milliseconds
 */
export function connectionsFor(
  use: string,
  { databaseUrl, log, lifecycle }: LedgerAccess,
  options: { readonly max: number; readonly answerWithin?: number },
): pg.Pool {
  const pool = openDatabase(databaseUrl, { ...options, applicationName: `daypass-${use}`, log });
  lifecycle.onStop(`${use} connections`, () => pool.end());
  return pool;
}
