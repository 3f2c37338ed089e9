import type pg from 'pg';
import { DaypassError } from '../errors.js';
import type { Actor } from './actor.js';
import { askWithin } from './ask.js';

/** One line of the audit log. */
export interface AuditEntry {
  readonly actor: string;
  readonly via: Actor['via'];
  /** `<noun>.<verb>`. */
  readonly act: string;
  /** `person:<subject>`. */
  readonly target: string;
  readonly reason: string | null;
  readonly result: 'done' | 'refused';
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** Appends a line to the audit log, within the transaction of what it tells of. */
export type Audit = (client: pg.PoolClient, entry: AuditEntry) => Promise<void>;

/** Faults of the ledger, not refusals: it would not take a line about them either. */
const UNDONE = new Set(['ledger_unavailable', 'audit_unavailable']);

/** What is done, before it is known what comes of it. */
export interface Act extends Pick<AuditEntry, 'act' | 'target' | 'reason'> {
  readonly actor: Pick<Actor, 'subject' | 'via'>;
}

/** What came of an act, and what of it the line tells. */
export interface Done<T> {
  readonly answer: T;
  readonly detail?: Readonly<Record<string, unknown>>;
}

/**
 * Does something in one transaction whose last statement is its line in the audit log: neither is there without the other. An
 * act that is refused has a line in a transaction of its own.
 * @throws DaypassError `ledger_unavailable`, and what the work throws
 */
export async function audited<T>(
  { pool, audit }: { readonly pool: pg.Pool; readonly audit: Audit },
  { actor, ...act }: Act,
  work: (client: pg.PoolClient) => Promise<Done<T>>,
): Promise<T> {
  const entry = { ...act, actor: actor.subject, via: actor.via };
  try {
    return await askWithin(pool, async (client) => {
      const { answer, detail } = await work(client);
      await audit(client, { ...entry, result: 'done', ...(detail === undefined ? {} : { detail }) });
      return answer;
    });
  } catch (thrown) {
    if (!(thrown instanceof DaypassError) || UNDONE.has(thrown.code)) throw thrown;
    const detail = { code: thrown.code };
    await askWithin(pool, (client) => audit(client, { ...entry, result: 'refused', detail }));
    throw thrown;
  }
}
