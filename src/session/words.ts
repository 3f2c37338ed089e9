import type { Grant } from '../grant/grant.js';
import { outsideHours } from '../grant/lease.js';
import { CUTS, type CutReason } from '../policy/reason.js';
import type { Cut } from './connection.js';

/**
 * What clients are told of a cut.
 * @param until - when it was due by the grant; null where something else ended the session. Milliseconds since the epoch, as `now`
 */
export function wordCut(reason: CutReason, grant: Grant, until: number | null, now: number): Cut {
  const at = until === null ? '' : ` at ${new Date(until).toISOString()}`;
  const message = `Daypass ended this session: ${CUTS[reason]}${at} (grant ${grant.id})`;
  const hours = reason === 'hours_over' ? outsideHours(grant, now) : null;
  return { reason, message, hint: hours ?? HINTS[reason] };
}

const ASK_AGAIN = 'ask your sponsor for a new grant';
const HINTS: Readonly<Record<CutReason, string>> = {
  expired: `${ASK_AGAIN}, or next time for a renewal before the end`,
  revoked: 'ask the owner of the service why',
  unknown_grant: 'ask the owner of the service to renew it: its place among the grants in force was lost',
  suspended: 'ask who sponsors you, or the owner of the service',
  hours_over: 'connect again when its hours begin',
  logged_out: 'log in at the gateway again',
  replaced: 'load the page again: what was opened last goes on',
  policy_gone: 'ask the owner of the service what has changed',
  stale: 'connect again in a moment',
  recorder_stalled: 'connect again in a moment; nothing that was not recorded was done',
  tripwire: 'connect again, and leave the session settings the policy pins as they are',
  ended: 'ask the owner of the service why',
  shutdown: 'connect again: another gateway or the restarted one takes over',
};
