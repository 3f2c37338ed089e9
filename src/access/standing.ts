import { wordSeconds } from '../config/duration.js';
import { DaypassError } from '../errors.js';
import { type Allowed, checkNarrowing } from './narrow.js';
import { wordTime } from './period.js';
import { longest, type PolicySource, type Requestable, requestable } from './policy.js';
import type { RequestView } from './request.js';

/**
 * Holds what would be allowed against the policy that is in force at this moment: nothing that was asked for under another
 * policy passes by it.
 * @param now - milliseconds since the epoch
 * @throws DaypassError `limits_changed` with what to do
 */
export function checkStanding(
  request: RequestView,
  allowed: Allowed,
  { policy, access }: Requestable,
  now: number,
): void {
  const { service, kind, role } = request;
  for (const name of [role, allowed.role]) {
    if (!policy.roles.has(name))
      throw changed(`${service} has no role ${name} any more`, 'Ask anew for a role it has.');
  }
  const breakGlass = kind === 'break_glass';
  if (breakGlass && !access.breakGlass?.roles.includes(role))
    throw changed(`the policy of ${service} has no break-glass for ${role} any more`, 'Ask in the usual way.');
  const most = longest({ policy, access }, breakGlass);
  if (allowed.seconds > most) {
    const mend = `Approve ${wordSeconds(most)} or less, or ask anew for so long.`;
    throw changed(`the policy of ${service} now allows at most ${wordSeconds(most)}`, mend);
  }
  const farthest = now + access.maxAheadSeconds * 1000;
  if (request.startsAt > farthest) {
    const mend = `Ask anew, to begin by ${wordTime(Math.floor(farthest))}.`;
    throw changed(
      `the policy of ${service} now lets access begin only ${wordSeconds(access.maxAheadSeconds)} ahead`,
      mend,
    );
  }
  if (access.ndaRequired && request.nda === null)
    throw changed(`${service} now asks for an NDA`, 'Ask anew and name it.');
  checkAllowed(request, allowed, { policy, access });
}

/** The service as it can be asked for now. @throws DaypassError `limits_changed` */
export function stillRequestable(policies: PolicySource, service: string): Requestable {
  try {
    return requestable(policies, service);
  } catch {
    throw changed(`${service} cannot be asked for any more`, 'Ask an operator.');
  }
}

function checkAllowed(request: RequestView, allowed: Allowed, requestable: Requestable): void {
  try {
    checkNarrowing(request, { role: allowed.role, seconds: allowed.seconds, only: allowed.only }, requestable);
  } catch (cause) {
    if (!(cause instanceof DaypassError)) throw cause;
    throw changed(`what was approved is not there any more: ${cause.message}`, 'Ask anew.');
  }
}

function changed(what: string, hint: string): DaypassError {
  return new DaypassError('limits_changed', `The policy changed since this was asked for: ${what}.`, { hint });
}
