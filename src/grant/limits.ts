import { wordSeconds } from '../config/duration.js';
import type { ServicePolicy } from '../config/protocol.js';
import { DaypassError } from '../errors.js';
import { MAX_GROUP, MAX_GROUPS, MAX_RULES } from './claims.js';
import type { Grant } from './grant.js';
import type { Act, GrantRecord } from './record.js';
import { opensAt, parseWindow } from './window.js';

/** What someone asks to be issued. */
export interface IssueRequest {
  readonly principal: string;
  readonly service: string;
  /** The service's first role when not given. */
  readonly role?: string | undefined;
  readonly durationSeconds: number;
  readonly sponsor: string;
  readonly reason: string;
  /** Who issues it, and by which door they came. */
  readonly by: string;
  readonly via?: Act['via'];
  /** When it begins, milliseconds since the epoch; now when not given. It lasts from then on. */
  readonly notBefore?: number | undefined;
  /** The person's groups at this moment: services are told them. */
  readonly groups?: readonly string[] | undefined;
  /** The access request it comes from: a UUID. */
  readonly request?: string | undefined;
  /** The NDA which that request names: a UUID. */
  readonly nda?: string | undefined;
  /** Weekly hours during which it may be used: `Mon-Fri 09:00-18:00 Europe/Berlin`. */
  readonly window?: string | undefined;
  /** A narrower scope: the texts of the role's rules that remain, as decisions name them. */
  readonly only?: readonly string[] | undefined;
}

/** A request that the policy allows. */
export interface Allowed {
  readonly policy: GrantLimits;
  readonly role: string;
  readonly scope: Pick<Grant, 'groups' | 'request' | 'nda' | 'window' | 'only'>;
}

/** What someone asks to be renewed. */
export interface RenewRequest {
  readonly durationSeconds: number;
  readonly by: string;
  readonly via?: Act['via'];
  readonly reason: string;
  /** The grant may not last beyond it (the end of an account, of an NDA), milliseconds since the epoch. */
  readonly latestEnd?: number | undefined;
}

/** What decides about a renewal. */
export type Renewable = Pick<
  GrantRecord,
  'service' | 'role' | 'notBefore' | 'expiresAt' | 'renewals' | 'revokedAt' | 'suspendedAt'
>;

/** What of a service's policy limits its grants. */
export type GrantLimits = Pick<ServicePolicy, 'name' | 'lane' | 'owner' | 'defaultRole' | 'grants' | 'rulesOf'> & {
  readonly roles: { has(role: string): boolean; keys(): Iterable<string> };
};

/** No '+': a database user `alice+<grant id>` splits at its last one. */
const PRINCIPAL = /^[a-z0-9][a-z0-9._@-]{0,127}$/;
const MAX_TEXT = 500;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Control characters, line and paragraph separators, halves of a character. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;
/** How far ahead a grant may begin. */
const MAX_AHEAD_MS = 366 * 86_400_000;
/** How long a tombstone stands when nothing is known of the grant: longer than one may wait for its beginning, and then last. */
const UNKNOWN_HORIZON_MS = MAX_AHEAD_MS + 90 * 86_400_000;

/** @throws DaypassError `invalid_request` for what is no principal's name */
export function checkPrincipal(name: string): void {
  if (PRINCIPAL.test(name)) return;
  throw new DaypassError('invalid_request', 'The principal is not a valid name.', {
    hint: 'Use lower-case letters, digits and . _ @ -, at most 128, beginning with a letter or a digit.',
  });
}

/**
 * Judges a request against the service's policy.
 * @returns what to grant
 * @throws DaypassError `unknown_service`, `unknown_role`, `unknown_rule`, `duration_exceeds_policy`, `invalid_request`
 */
export function checkIssue(request: IssueRequest, policy: GrantLimits | undefined): Allowed {
  if (policy === undefined) {
    throw new DaypassError('unknown_service', `There is no service ${JSON.stringify(request.service)}.`, {
      hint: 'daypass services tells which there are.',
    });
  }
  checkPrincipal(request.principal);
  const role = request.role ?? policy.defaultRole;
  if (!policy.roles.has(role)) {
    throw new DaypassError('unknown_role', `The service ${policy.name} has no role ${JSON.stringify(role)}.`, {
      hint: `Its roles are ${[...policy.roles.keys()].join(', ')}.`,
    });
  }
  checkDuration(request.durationSeconds, policy);
  checkText('sponsor', request.sponsor);
  checkText('reason', request.reason);
  checkText('issuer', request.by);
  return { policy, role, scope: scopeAsked(request, policy, role) };
}

/**
 * Judges when a grant is to begin: not after all its time has passed, not beyond what a tombstone outlives, and with hours that
 * leave some of it.
 * @param now - milliseconds since the epoch
 * @throws DaypassError `invalid_request`
 */
export function checkBeginning({ notBefore, durationSeconds }: IssueRequest, { scope }: Allowed, now: number): void {
  const begins = notBefore ?? now;
  if (!(begins <= now + MAX_AHEAD_MS)) {
    throw new DaypassError('invalid_request', 'A grant begins within the next 366 days.');
  }
  const ends = begins + durationSeconds * 1000;
  if (!(now < ends)) throw new DaypassError('invalid_request', 'The grant would have ended already.');
  if (scope.window === null || opensAt(parseWindow(scope.window), Math.max(begins, now)) < ends) return;
  throw new DaypassError('invalid_request', `The hours ${scope.window} never come between its beginning and its end.`, {
    hint: 'Choose other hours, or a time that they are part of.',
  });
}

/** What a request says beyond person, role and time. */
function scopeAsked(request: IssueRequest, policy: GrantLimits, role: string): Allowed['scope'] {
  const { groups = [], only = null } = request;
  if (groups.length > MAX_GROUPS)
    throw new DaypassError('invalid_request', `A grant names ${MAX_GROUPS} groups at most.`);
  for (const group of groups) checkText('group', group, MAX_GROUP);
  if (only !== null) checkRules(only, policy, role);
  return {
    groups: [...new Set(groups)],
    request: uuidOf('request', request.request),
    nda: uuidOf('NDA', request.nda),
    window: request.window === undefined ? null : parseWindow(request.window).text,
    only: only && [...new Set(only)],
  };
}

function checkRules(only: readonly string[], policy: GrantLimits, role: string): void {
  if (only.length === 0 || only.length > MAX_RULES) {
    throw new DaypassError('invalid_request', `A grant is narrowed to 1 to ${MAX_RULES} rules.`);
  }
  const rules = policy.rulesOf(role);
  const unknown = only.find((text) => !rules.includes(text));
  if (unknown === undefined) return;
  throw new DaypassError('unknown_rule', `The role ${role} of ${policy.name} has no rule ${JSON.stringify(unknown)}.`, {
    hint: `Its rules: ${rules.map((text) => JSON.stringify(text)).join(', ')}.`,
  });
}

function uuidOf(what: string, text: string | undefined): string | null {
  if (text === undefined || UUID.test(text)) return text ?? null;
  throw new DaypassError('invalid_request', `The ${what} must be named by its UUID.`);
}

/**
 * Judges a renewal while the ledger's row is locked. Everything but the revocation comes from the signed token.
 * @param now - milliseconds since the epoch
 * @throws DaypassError `revoked`, `expired`, `suspended`, `unknown_service`, `unknown_role`, `renewals_exhausted`,
 * `duration_exceeds_policy`, `total_exceeds_policy`, `end_too_late`, `invalid_request`
 */
export function checkRenewal(
  request: RenewRequest,
  grant: Renewable,
  given: GrantLimits | undefined,
  now: number,
): void {
  checkText('reason', request.reason);
  checkText('renewer', request.by);
  checkUsable(grant, 'renewed', now);
  const policy = policyFor(grant, given);
  const { maxRenewals: most } = policy.grants;
  if (grant.renewals >= most) {
    const renewals = most === 1 ? '1 renewal' : `${most} renewals`;
    throw new DaypassError('renewals_exhausted', `The policy of ${grant.service} allows ${renewals}.`);
  }
  checkDuration(request.durationSeconds, policy);
  checkTotal(request, grant, policy);
}

/**
 * Judges whether one grant may take the place of another while that one's row is locked.
 * @param now - milliseconds since the epoch
 * @throws DaypassError `revoked`, `expired`, `suspended`, `unknown_service`, `unknown_role`, `invalid_request`
 */
export function checkReplacement(
  act: Pick<RenewRequest, 'by' | 'reason'>,
  grant: Renewable,
  given: GrantLimits | undefined,
  now: number,
): void {
  checkText('reason', act.reason);
  checkText('replacer', act.by);
  checkUsable(grant, 'replaced', now);
  policyFor(grant, given);
}

/** @throws DaypassError `revoked`, `expired`, `suspended` */
export function checkUsable(
  grant: Pick<Renewable, 'revokedAt' | 'expiresAt' | 'suspendedAt'>,
  done: string,
  now: number,
): void {
  if (grant.revokedAt !== null) throw new DaypassError('revoked', `The grant was revoked; it cannot be ${done}.`);
  if (!(now < grant.expiresAt)) throw new DaypassError('expired', `The grant has expired; it cannot be ${done}.`);
  if (grant.suspendedAt === null) return;
  throw new DaypassError('suspended', `The grant is suspended; it cannot be ${done}.`, { hint: 'Resume it first.' });
}

function policyFor(grant: Renewable, policy: GrantLimits | undefined): GrantLimits {
  if (policy === undefined) throw new DaypassError('unknown_service', `There is no service ${grant.service} any more.`);
  if (policy.roles.has(grant.role)) return policy;
  throw new DaypassError('unknown_role', `The service ${policy.name} has no role ${grant.role} any more.`);
}

/** @throws DaypassError `total_exceeds_policy`, `end_too_late` */
function checkTotal(
  { durationSeconds, latestEnd }: RenewRequest,
  grant: Renewable,
  { name, grants }: GrantLimits,
): void {
  const { notBefore, expiresAt } = grant;
  const left = (until: number) => ({
    hint: `At most ${wordSeconds(Math.max(0, Math.floor((until - expiresAt) / 1000)))} are left.`,
  });
  const end = expiresAt + durationSeconds * 1000;
  const total = notBefore + (grants.maxTotalSeconds ?? Number.POSITIVE_INFINITY) * 1000;
  if (!(end <= total)) {
    const most = `The policy of ${name} allows at most ${wordSeconds(grants.maxTotalSeconds ?? 0)} in all.`;
    throw new DaypassError('total_exceeds_policy', most, left(total));
  }
  if (latestEnd === undefined || end <= latestEnd) return;
  if (!Number.isFinite(latestEnd)) throw new DaypassError('invalid_request', 'The latest end is no time.');
  const most = `The grant may last until ${new Date(latestEnd).toISOString()} and no longer.`;
  throw new DaypassError('end_too_late', most, left(latestEnd));
}

/** @throws DaypassError `invalid_request` for a text that is empty, longer than 500 characters or holds control characters */
export function checkText(what: string, text: string, most = MAX_TEXT): void {
  if (text.trim() !== '' && text.length <= most && !UNSAFE.test(text)) return;
  throw new DaypassError('invalid_request', `The ${what} must be 1 to ${most} characters on one line.`);
}

/**
 * The latest end this grant could have been given by now: how long a tombstone must stand. A grant of which nothing is known
 * may be one that is still to begin.
 * @param expiresAt - its end as the ledger says, when that is known
 * @returns milliseconds since the epoch
 */
export function latestEnd(policy: GrantLimits | undefined, expiresAt: number | undefined, now: number): number {
  const end = Math.max(now, expiresAt ?? now);
  if (policy === undefined || expiresAt === undefined) return end + UNKNOWN_HORIZON_MS;
  const { maxDurationSeconds, maxRenewals, maxTotalSeconds = Number.POSITIVE_INFINITY } = policy.grants;
  return end + Math.min(maxDurationSeconds * (maxRenewals + 1), maxTotalSeconds) * 1000;
}

function checkDuration(seconds: number, policy: GrantLimits): void {
  if (!Number.isSafeInteger(seconds) || seconds < 1) {
    throw new DaypassError('invalid_request', 'The duration must be a whole number of seconds, at least one.');
  }
  const longest = policy.grants.maxDurationSeconds;
  if (seconds <= longest) return;
  const most = `The policy of ${policy.name} allows at most ${wordSeconds(longest)} at a time.`;
  throw new DaypassError('duration_exceeds_policy', most, { hint: `Ask for ${wordSeconds(longest)} or less.` });
}
