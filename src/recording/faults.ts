import { DaypassError, messageOf } from '../errors.js';

/**
 * Whether Postgres refused what was written, rather than being out of reach: data exceptions (22), broken constraints (23),
 * rights and names (42), program limits (54). Writing the same thing again would fail again.
 * Source: PostgreSQL, appendix A, error codes.
 */
export function isContentFault(thrown: unknown): boolean {
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : '';
  return /^(22|23|42|54)[0-9A-Z]{3}$/.test(code);
}

/** Whether Postgres refused a value: what never can be written, whatever is mended around it. */
export function isDataException(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown && /^22/.test(String(thrown.code));
}

/** What whoever asks is told of a ledger that did not answer. */
export function ledgerUnavailable(cause: unknown): DaypassError {
  return new DaypassError('ledger_unavailable', `The ledger did not answer: ${messageOf(cause)}`, { cause });
}

/**
 * Whether the ledger was not there to answer: no connection (08), no room (53), an operator (57), a disk (58), a standby or a read-only
 * database (25006), a lock (55P03), or what the system says of a connection, and of the name it leads to. What `pg` itself gives up has no code but its words.
 */
export function isOutage(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  const code = 'code' in thrown ? String(thrown.code) : '';
  return OUTAGE_CODES.test(code) || OUTAGE_WORDS.test(thrown.message);
}

const OUTAGE_CODES =
  /^((08|53|57|58)[0-9A-Z]{3}|25006|55P03|database_(read_only|pooled)|ECONN(REFUSED|RESET)|EPIPE|ETIMEDOUT|E(HOST|NET)UNREACH|ENOTFOUND|EAI_AGAIN)$/;
const OUTAGE_WORDS =
  /^(Query read timeout|Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/;
