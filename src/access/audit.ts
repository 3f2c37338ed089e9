import type { Pool } from 'pg';
import { appendAudit } from '../audit/append.js';
import type { AuditEntry } from '../audit/entry.js';
import type { DaypassError } from '../errors.js';

/** Writes down that an act was refused, and refuses it. */
export async function refused(
  pool: Pool,
  line: Omit<AuditEntry, 'result' | 'detail'>,
  fault: DaypassError,
): Promise<never> {
  await appendAudit(pool, { ...line, result: 'refused', detail: { code: fault.code } });
  throw fault;
}
