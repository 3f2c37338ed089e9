import type { Test } from 'tap';
import { appendAudit } from '../../src/audit/append.js';
import type { AuditEntry } from '../../src/audit/entry.js';
import { AuditLog } from '../../src/audit/log.js';
import { systemClock } from '../../src/clock.js';
import { keyRing, readSigningKey } from '../../src/grant/keys.js';
import { freshLedger } from '../recording/fixture.js';
import { TEST_KEY } from '../support/key.js';

export const KEY = readSigningKey(TEST_KEY);
export const KEYS = keyRing(KEY);

/** An act as an operator does it. */
export function act(over: Partial<AuditEntry> = {}): AuditEntry {
  const base = { actor: 'ops', via: 'socket', act: 'session.end', target: 'session:1', result: 'done' } as const;
  return { ...base, reason: 'looks odd', ...over };
}

/** A migrated ledger with an audit log that has so many lines. */
export async function auditLog(t: Test, lines = 0) {
  const ledger = await freshLedger(t);
  const log = new AuditLog({ pool: ledger.pool, key: KEY, keys: KEYS, clock: systemClock });
  for (let n = 1; n <= lines; n += 1) await appendAudit(ledger.pool, act({ target: `session:${n}` }));
  return { ...ledger, log };
}

/** What somebody does who owns the table: the refusal of changes is taken away first. */
export async function asOwner(database: { query(sql: string): Promise<unknown> }, sql: string): Promise<void> {
  await database.query(
    `alter table daypass.audit disable trigger all; ${sql}; alter table daypass.audit enable trigger all`,
  );
}

/** An export's lines, as a file holds them. */
export async function exported(log: AuditLog): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of log.lines()) lines.push(line.trimEnd());
  return lines;
}
