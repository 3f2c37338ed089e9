import type { ServicePolicy } from '../config/protocol.js';
import type { Grant } from '../grant/grant.js';
import { outsideHours } from '../grant/lease.js';
import { type Decision, deny } from '../policy/decision.js';
import type { DenialReason } from '../policy/reason.js';
import type { AdmitRequest } from './gate.js';

/*
 * Whether a grant, whose handle the client has, entitles it to what it asks for, and what the client is told when not. Pure.
 */

/** What can be done about it. */
const HINTS: Partial<Record<DenialReason, string>> = {
  unknown_grant: 'check that the handle is whole; a grant that has ended is gone',
  expired: 'ask your sponsor for a new grant',
  revoked: 'ask the owner of the service why',
  not_yet: 'connect when your grant has begun',
  suspended: 'ask who sponsors you, or the owner of the service; the same handle works again when it is resumed',
  outside_hours: 'connect when its hours begin',
  store_unavailable: 'connect again in a moment',
  recorder_unavailable: 'connect again in a moment',
};

/** A refusal to admit. @param hint - for its reason, when not given */
export function refusal(reason: DenialReason, message: string, hint: string = HINTS[reason] ?? ''): Decision {
  return deny(reason, 'admission', message, hint);
}

/** Why the grant is not for this client and this service at `now`, milliseconds since the epoch; null when it is. */
export function mismatch(
  request: Pick<AdmitRequest, 'service' | 'principal'>,
  grant: Grant,
  now: number,
): Decision | null {
  if (grant.service !== request.service) {
    const message = `this grant is for ${grant.service}, not for ${request.service}`;
    return refusal('wrong_service', message, `connect to ${grant.service}`);
  }
  if (request.principal !== undefined && request.principal !== grant.principal) {
    const hint = 'connect with the user name the grant was given to';
    return refusal('wrong_principal', 'this grant belongs to somebody else', hint);
  }
  if (now < grant.notBefore) return refusal('not_yet', 'this grant has not begun');
  if (grant.expiresAt <= now) return refusal('expired', 'this grant has expired');
  // The answer may have been on its way while the hours ended.
  const closed = outsideHours(grant, now);
  return closed === null ? null : refusal('outside_hours', closed);
}

/** Why nobody comes in under a name that this protocol has no service for. */
export function unknown(service: string): Decision {
  const message = `there is no service named ${printable(service)} here`;
  const hint =
    'check its name, and whether it is for this kind of client: databases and web services have doors of their own';
  return refusal('unknown_service', message, hint);
}

/** What whoever has a grant for a service is told at the door of another protocol. */
export function reachedOtherwise({ name, protocol }: ServicePolicy, tried: string): Decision {
  const hint = `daypass connect ${name} opens a port that leads there`;
  return refusal('unknown_service', `${name} is reached by ${protocol}, not by ${tried}`, hint);
}

/** A name from a client in a message: short, and nothing but printable ASCII. */
function printable(name: string): string {
  return JSON.stringify(name.slice(0, 63).replace(/[^\x20-\x7e]/g, '?'));
}

/** Why somebody who may come in does not: each connection of one person takes from the room for all. */
export function crowded(): Decision {
  return refusal('too_many', 'you have more connections here than there is room for', 'close some, and try again');
}

/** Why nothing of what the grant allowed is left in its service's policy; null when something is. */
export function nothingLeft(grant: Grant, policy: ServicePolicy): Decision | null {
  const { role, only } = grant;
  if (!policy.roles.has(role)) {
    return refusal('out_of_scope', `the role ${role} no longer exists on ${policy.name}`, 'ask for a new grant');
  }
  if (only === null || policy.rulesOf(role).some((text) => only.includes(text))) return null;
  const narrowed = `no rule that this grant was narrowed to is left in the role ${role} of ${policy.name}`;
  return refusal('out_of_scope', narrowed, 'ask for a new grant');
}
