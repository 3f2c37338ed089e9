import type pg from 'pg';
import type { Lifecycle } from './lifecycle.js';
import type { Log } from './log.js';
import { openDatabase } from './recording/database.js';

/** How long one query of what a person in front of a browser waits for may take, unless it says less, milliseconds. */
export const ANSWER_LIMIT = 8_000;

/** How long one query of a look at records may take: a search goes through much, and a ledger that is silent says nothing. Milliseconds. */
export const LOOK_LIMIT = 60_000;

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
