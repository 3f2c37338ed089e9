import type { AccessPolicy } from '../config/access.js';
import type { ServicePolicy } from '../config/protocol.js';
import { DaypassError } from '../errors.js';
import type { RequestView } from './request.js';

/** The policies in force: asked anew each time, so that a reload is seen. */
export interface PolicySource {
  get(service: string): ServicePolicy | undefined;
  all(): Iterable<ServicePolicy>;
}

/** A service that can be asked for. */
export interface Requestable {
  readonly policy: ServicePolicy;
  readonly access: AccessPolicy;
}

/** @throws DaypassError `unknown_service`, `not_requestable` */
export function requestable(policies: PolicySource, service: string): Requestable {
  const policy = policies.get(service);
  if (policy === undefined)
    throw new DaypassError('unknown_service', `There is no service ${JSON.stringify(service)}.`, {
      hint: 'daypass services tells which there are.',
    });
  if (policy.access === undefined) {
    throw new DaypassError(
      'not_requestable',
      `Nobody can ask for access to ${service}: its policy has no access: part.`,
      {
        hint: 'An operator issues grants for it.',
      },
    );
  }
  return { policy, access: policy.access };
}

/** The role that is asked for. @throws DaypassError `unknown_role`, `not_requestable` for an emergency the policy does not know */
export function roleAsked({ policy, access }: Requestable, role: string | undefined, breakGlass: boolean): string {
  const asked = role ?? policy.defaultRole;
  if (!policy.roles.has(asked)) {
    throw new DaypassError('unknown_role', `The service ${policy.name} has no role ${JSON.stringify(asked)}.`, {
      hint: `Its roles are ${[...policy.roles.keys()].join(', ')}.`,
    });
  }
  if (!breakGlass || access.breakGlass?.roles.includes(asked)) return asked;
  const named = access.breakGlass?.roles ?? [];
  throw new DaypassError('not_requestable', `The policy of ${policy.name} has no break-glass for the role ${asked}.`, {
    hint: named.length > 0 ? `It has it for ${named.join(', ')}.` : 'Ask in the usual way.',
  });
}

/** The longest that may be asked for at once, seconds. */
export function longest({ policy, access }: Requestable, breakGlass: boolean): number {
  const { maxDurationSeconds } = policy.grants;
  return breakGlass ? Math.min(access.breakGlass?.maxDurationSeconds ?? 0, maxDurationSeconds) : maxDurationSeconds;
}

/** How many approvals the policy asks for. @param otherLane - whether the person has access in another lane at the same time */
export function approvalsNeeded(
  { access }: Requestable,
  role: string,
  breakGlass: boolean,
  otherLane: boolean,
): number {
  if (breakGlass) return 0;
  return (access.preApproved.includes(role) ? 0 : access.approvals) + (otherLane ? 1 : 0);
}

/** How many it asks for without access in another lane; null for a service that nobody can ask for now. */
export function usualApprovals(
  policies: PolicySource,
  { service, role, kind }: Pick<RequestView, 'service' | 'role' | 'kind'>,
): number | null {
  const policy = policies.get(service);
  if (policy?.access === undefined) return null;
  return approvalsNeeded({ policy, access: policy.access }, role, kind === 'break_glass', false);
}

/** The roles that are no wider than this one: itself, then what it builds on. They are a chain, so one of any two is narrower. */
export function chainOf({ access }: Requestable, role: string): readonly string[] {
  return [role, ...(access.bases.get(role) ?? [])];
}
