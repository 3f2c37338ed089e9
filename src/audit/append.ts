import type pg from 'pg';
import { DaypassError, messageOf } from '../errors.js';
import { timed } from '../recording/timed.js';
import type { AuditEntry } from './entry.js';

const APPEND = 'select audit_append($1, $2, $3, $4, $5, $6, $7, $8)';

/** How long the ledger may take for it, milliseconds: a little more than the function waits for its turn. */
const WITHIN = 6_000;

/**
 * Writes an act down. With the client of a transaction it is committed with the act or not at all: append last, since nobody
 * else can until the transaction ends. With a pool it is a transaction of its own.
 * @throws DaypassError `audit_unavailable`: then the act must not happen
 */
export async function appendAudit(client: Pick<pg.Pool | pg.PoolClient, 'query'>, entry: AuditEntry): Promise<void> {
  const { at, actor, via, act, target, reason, result, detail } = entry;
  const when = at === undefined ? null : new Date(at);
  const values = [when, actor, via, act, target, reason, result, detail === undefined ? null : JSON.stringify(detail)];
  try {
    await client.query(timed(WITHIN, APPEND, values));
  } catch (cause) {
    throw new DaypassError('audit_unavailable', `The audit log did not take the act: ${messageOf(cause)}`, {
      cause,
      hint: 'Nothing was done. Acts are possible again as soon as the ledger takes them down.',
    });
  }
}
