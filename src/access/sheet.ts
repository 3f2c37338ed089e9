import { DaypassError } from '../errors.js';
import type { Actor } from '../identity/actor.js';
import { APPROVED_BY_YOU, checkDecider } from './decide.js';
import type { Allowed } from './narrow.js';
import { type Nda, ndaFault } from './nda.js';
import { ownerOf } from './parts.js';
import type { Persons } from './persons.js';
import { type PolicySource, type Requestable, usualApprovals } from './policy.js';
import type { RequestDetail, RequestView } from './request.js';
import { checkStanding, stillRequestable } from './standing.js';

/** What somebody is shown before they decide. It holds nothing: a decision judges all of it anew, by what is so then. */
export interface Sheet {
  readonly request: RequestDetail;
  /** Who decides now: `group:<name>`. */
  readonly owner: string;
  /** What would be granted, with what other approvers left of it. */
  readonly allowed: Allowed;
  /** The rules of that, by the policy in force; none for a role that is gone. */
  readonly rules: readonly string[];
  /** The NDA that it stands on, in words; null: on none. */
  readonly nda: string | null;
  /** What to know before one agrees. */
  readonly warnings: readonly string[];
  /** Why whoever looks decides nothing about it while it waits; null: they may. */
  readonly hindrance: string | null;
}

/** What is read of a request for somebody. */
export interface Looked {
  readonly request: RequestDetail;
  readonly actor: Actor;
  /** Who looks and who asks, as far as they have accounts. */
  readonly persons: Persons;
  /** Undefined for one that whoever looks may not see. */
  readonly nda: Nda | undefined;
}

/** @param now - milliseconds since the epoch */
export function sheetOf(policies: PolicySource, { request, actor, persons, nda }: Looked, now: number): Sheet {
  const { role, seconds, allowedRole, allowedSeconds, allowedOnly: only } = request;
  const allowed = { role: allowedRole ?? role, seconds: allowedSeconds ?? seconds, only };
  const owner = ownerOf({ policies }, request);
  return {
    ...{ request, owner, allowed },
    rules: only ?? policies.get(request.service)?.rulesOf(allowed.role) ?? [],
    nda: request.nda === null ? null : ndaWords(nda, now),
    warnings: request.state === 'pending' ? warningsOf(policies, request, allowed, nda, now) : [],
    hindrance: hindranceOf(request, actor, persons, owner, now),
  };
}

function ndaWords(nda: Nda | undefined, now: number): string {
  if (nda === undefined) return 'one that you may not see';
  return `“${nda.title}”, which ${ndaFault(nda, now) ?? `is valid until ${nda.validUntil}`}`;
}

function hindranceOf(
  request: RequestDetail,
  { subject }: Actor,
  persons: Persons,
  owner: string,
  now: number,
): string | null {
  const refused = refusalOf(() => checkDecider(request, persons, subject, owner, now));
  if (refused !== null) return refused.message;
  return request.approvals.some(({ approver }) => approver === subject) ? APPROVED_BY_YOU : null;
}

function warningsOf(
  policies: PolicySource,
  request: RequestView,
  allowed: Allowed,
  nda: Nda | undefined,
  now: number,
): string[] {
  const judged = (work: (service: Requestable) => void) =>
    refusalOf(() => work(stillRequestable(policies, request.service)));
  const changed = judged((service) => checkStanding(request, allowed, service, now));
  const fault = nda === undefined ? null : ndaFault(nda, now);
  return [
    ...(changed === null ? versionWarning(policies, request) : [[changed.message, changed.hint].join(' ').trim()]),
    ...(fault === null ? [] : [`The NDA that it stands on ${fault}.`]),
    ...laneWarning(policies, request),
    ...(request.clock === 'start' && request.startsAt + LATE_MS < now
      ? ['Its beginning has passed, and its end stays: what is granted is what is left of the time.']
      : []),
  ];
}

/** Access that begins at once is decided about a moment later. */
const LATE_MS = 60_000;

function versionWarning(policies: PolicySource, { service, policyVersion }: RequestView): string[] {
  if (policies.get(service)?.version === policyVersion) return [];
  return [`The policy of ${service} has changed since this was asked for. What is shown is by the one in force.`];
}

function laneWarning(policies: PolicySource, request: RequestView): string[] {
  if (request.needed <= (usualApprovals(policies, request) ?? request.needed)) return [];
  return [`It takes one approval more than usual: ${request.principal} has access in another lane at the same time.`];
}

/** What a check refuses by. */
function refusalOf(check: () => void): DaypassError | null {
  try {
    check();
    return null;
  } catch (thrown) {
    if (thrown instanceof DaypassError) return thrown;
    throw thrown;
  }
}
