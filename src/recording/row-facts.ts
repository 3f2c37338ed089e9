import { iso } from '../clock.js';
import type { Facts } from './event.js';
import type { Receipt, SessionRow } from './log.js';

/**
 * What a session's row says, as its record says it in the first event and in the last: the row can be held against them.
 * @param gateway - the id of the gateway that records it
 */
export function openingFacts(row: Omit<SessionRow, 'id' | 'startedAt'>, gateway: string): Facts {
  const { grantId, service, principal, role, client, policyVersion, protocol, mode } = row;
  return { grant: grantId, service, principal, role, client, policy: policyVersion, protocol, mode, gateway };
}

/** How a session ended; `bytesAfterDue` is null where nobody counted. */
type Ending = Omit<Receipt, 'bytesAfterDue'> & { readonly bytesAfterDue: number | null };

/** The same of how it ended. */
export function closingFacts({ reason, endedAt, dueAt, cutAt, bytesAfterDue }: Ending): Facts {
  return { reason, dueAt: iso(dueAt), cutAt: iso(cutAt), endedAt: iso(endedAt), bytesAfterDue };
}

/** A session's row as the database has it, without where its record ends. */
export interface StoredSession
  extends Pick<SessionRow, 'service' | 'protocol' | 'principal' | 'role' | 'client' | 'mode'> {
  readonly gateway_id: string;
  readonly grant_id: string;
  readonly policy_version: string;
  readonly started_at: Date;
  readonly ended_at: Date | null;
  readonly end_reason: string | null;
  readonly due_at: Date | null;
  readonly cut_at: Date | null;
  readonly bytes_after_due: string | null;
}

/** Both, as a row claims them; `closing` is null where it says that the session goes on. */
export function claimedFacts(row: StoredSession): { readonly opening: Facts; readonly closing: Facts | null } {
  const { service, protocol, principal, role, client, mode } = row;
  const who = { grantId: row.grant_id, service, protocol, principal, role, client, mode };
  const opening = openingFacts({ ...who, policyVersion: row.policy_version }, row.gateway_id);
  if (row.ended_at === null) return { opening, closing: null };
  const bytesAfterDue = row.bytes_after_due === null ? null : Number(row.bytes_after_due);
  const [endedAt, dueAt, cutAt] = [Number(row.ended_at), timeOf(row.due_at), timeOf(row.cut_at)];
  return { opening, closing: closingFacts({ reason: row.end_reason ?? '', endedAt, dueAt, cutAt, bytesAfterDue }) };
}

/** Milliseconds. Of `infinity`, which somebody may have written there, `pg` makes no Date. */
function timeOf(date: Date | null): number | null {
  return date === null ? null : Number(date);
}
