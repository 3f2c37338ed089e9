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

/** The same of how it ended; `bytesAfterDue` is null where nobody counted. */
export function closingFacts({ reason, endedAt, dueAt, cutAt, bytesAfterDue }: Ending): Facts {
  return { reason, dueAt: iso(dueAt), cutAt: iso(cutAt), endedAt: iso(endedAt), bytesAfterDue };
}

/** How a session ended. Times are milliseconds since the epoch. */
export type Ending = Omit<Receipt, 'bytesAfterDue'> & { readonly bytesAfterDue: number | null };
