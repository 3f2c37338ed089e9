import type { ServicePolicy } from '../config/protocol.js';
import { DaypassError } from '../errors.js';
import type { GrantRecord } from './record.js';

/** What someone asks to be issued. */
export interface IssueRequest {
  readonly principal: string;
  readonly service: string;
  /** The service's first role when not given. */
  readonly role?: string | undefined;
  readonly durationSeconds: number;
  readonly sponsor: string;
  readonly reason: string;
  /** Who issues it. */
  readonly by: string;
}

/** What someone asks to be renewed. */
export interface RenewRequest {
  readonly durationSeconds: number;
  readonly by: string;
  readonly reason: string;
}

/** What decides about a renewal. */
export type Renewable = Pick<GrantRecord, 'service' | 'role' | 'expiresAt' | 'renewals' | 'revokedAt'>;

/** What of a service's policy limits its grants. */
export type GrantLimits = Pick<ServicePolicy, 'name' | 'lane' | 'owner' | 'defaultRole' | 'grants'> & {
  readonly roles: { has(role: string): boolean };
};

/** No '+': a database user `alice+<grant id>` splits at its last one. */
const PRINCIPAL = /^[a-z0-9][a-z0-9._@-]{0,127}$/;
const MAX_TEXT = 500;
/** Control characters, line and paragraph separators, halves of a character. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;
/** How long a tombstone stands when nothing is known of the grant: longer than any sensible policy. */
const UNKNOWN_HORIZON_MS = 90 * 86_400_000;

/** @throws DaypassError `invalid_request` for what is no principal's name */
export function checkPrincipal(name: string): void {
  if (PRINCIPAL.test(name)) return;
  throw new DaypassError('invalid_request', 'The principal is not a valid name.', {
    hint: 'Use lower-case letters, digits and . _ @ -, at most 128, beginning with a letter or a digit.',
  });
}

/**
 * Judges a request against the service's policy.
 * @returns the role to grant
 * @throws DaypassError `unknown_service`, `unknown_role`, `duration_exceeds_policy`, `invalid_request`
 */
export function checkIssue(
  request: IssueRequest,
  policy: GrantLimits | undefined,
): { policy: GrantLimits; role: string } {
  if (policy === undefined) {
    throw new DaypassError('unknown_service', `There is no service ${JSON.stringify(request.service)}.`);
  }
  checkPrincipal(request.principal);
  const role = request.role ?? policy.defaultRole;
  if (!policy.roles.has(role)) {
    throw new DaypassError('unknown_role', `The service ${policy.name} has no role ${JSON.stringify(role)}.`);
  }
  checkDuration(request.durationSeconds, policy);
  checkText('sponsor', request.sponsor);
  checkText('reason', request.reason);
  checkText('issuer', request.by);
  return { policy, role };
}

/**
 * Judges a renewal while the ledger's row is locked. Everything but the revocation comes from the signed token.
 * @param now - milliseconds since the epoch
 * @throws DaypassError `revoked`, `expired`, `unknown_service`, `renewals_exhausted`, `duration_exceeds_policy`, `invalid_request`
 */
export function checkRenewal(
  request: RenewRequest,
  grant: Renewable,
  policy: GrantLimits | undefined,
  now: number,
): void {
  checkText('reason', request.reason);
  checkText('renewer', request.by);
  if (grant.revokedAt !== null) throw new DaypassError('revoked', 'The grant was revoked; it cannot be renewed.');
  if (!(now < grant.expiresAt)) throw new DaypassError('expired', 'The grant has expired; it cannot be renewed.');
  if (policy === undefined) throw new DaypassError('unknown_service', `There is no service ${grant.service} any more.`);
  if (!policy.roles.has(grant.role)) {
    throw new DaypassError('unknown_role', `The service ${policy.name} has no role ${grant.role} any more.`);
  }
  if (grant.renewals >= policy.grants.maxRenewals) {
    throw new DaypassError(
      'renewals_exhausted',
      `The policy of ${grant.service} allows ${policy.grants.maxRenewals} renewals.`,
    );
  }
  checkDuration(request.durationSeconds, policy);
}

/** @throws DaypassError `invalid_request` for a text that is empty, longer than 500 characters or holds control characters */
export function checkText(what: string, text: string): void {
  if (text.trim() !== '' && text.length <= MAX_TEXT && !UNSAFE.test(text)) return;
  throw new DaypassError('invalid_request', `The ${what} must be 1 to ${MAX_TEXT} characters on one line.`);
}

/**
 * The latest end this grant could have been given by now: how long a tombstone must stand.
 * @param expiresAt - its end as the ledger says, when that is known
 * @returns milliseconds since the epoch
 */
export function latestEnd(policy: GrantLimits | undefined, expiresAt: number | undefined, now: number): number {
  const end = Math.max(now, expiresAt ?? now);
  if (policy === undefined) return end + UNKNOWN_HORIZON_MS;
  const { maxDurationSeconds, maxRenewals } = policy.grants;
  return end + maxDurationSeconds * 1000 * (maxRenewals + 1);
}

function checkDuration(seconds: number, policy: GrantLimits): void {
  if (!Number.isSafeInteger(seconds) || seconds < 1) {
    throw new DaypassError('invalid_request', 'The duration must be a whole number of seconds, at least one.');
  }
  if (seconds > policy.grants.maxDurationSeconds) {
    throw new DaypassError(
      'duration_exceeds_policy',
      `The policy of ${policy.name} allows at most ${policy.grants.maxDurationSeconds} seconds at a time.`,
    );
  }
}
