import type { Row } from '../identity/ask.js';
import { type RequestState, STORED_STATES, type StoredState } from './state.js';

/** What somebody asks for, for themselves. Times are milliseconds since the epoch. */
export interface RequestAsked {
  readonly service: string;
  /** The service's first role when not given. */
  readonly role?: string | undefined;
  /** What exactly is to be done, one sentence. */
  readonly task: string;
  /** When it is to begin; now when not given. */
  readonly from?: number | undefined;
  /** The last moment to begin, where the clock starts at first use: a day later when not given. Elsewhere the end: `from` + `seconds`. */
  readonly to?: number | undefined;
  readonly seconds: number;
  /** Weekly hours with a time zone, `Mon-Fri 09:00-18:00 Europe/Berlin`. */
  readonly hours?: string | undefined;
  /** Another employee than the one the account names. */
  readonly sponsor?: string | undefined;
  /** The one that is valid longest when not given. */
  readonly nda?: string | undefined;
  readonly breakGlass?: boolean | undefined;
}

export type Kind = 'usual' | 'pre_approved' | 'break_glass';

/** The newest grant of a request. */
export interface RequestGrant {
  readonly id: string;
  readonly notBefore: number;
  readonly expiresAt: number;
  readonly renewals: number;
  readonly revoked: boolean;
  readonly suspended: boolean;
}

/** A request as it stands. Times are milliseconds since the epoch. */
export interface RequestView {
  readonly id: string;
  readonly principal: string;
  readonly service: string;
  readonly role: string;
  readonly task: string;
  readonly kind: Kind;
  readonly startsAt: number;
  /** With clock `start` the end that was asked for, with `first_use` the last moment to begin. */
  readonly endsAt: number;
  readonly seconds: number;
  readonly clock: 'start' | 'first_use';
  readonly hours: string | null;
  readonly sponsor: string | null;
  readonly nda: string | null;
  readonly lane: string;
  readonly owner: string;
  readonly policyVersion: string;
  /** Approvals that are needed, as it was judged last, and those that were given. */
  readonly needed: number;
  readonly given: number;
  readonly state: RequestState;
  readonly createdAt: number;
  readonly decideBy: number;
  readonly decidedAt: number | null;
  /** What the approvers left of it; null: as it was asked for. */
  readonly allowedRole: string | null;
  readonly allowedSeconds: number | null;
  readonly allowedOnly: readonly string[] | null;
  readonly grant: RequestGrant | null;
  readonly activatedAt: number | null;
  readonly overAt: number | null;
  readonly reviewDue: number | null;
  readonly reviewedAt: number | null;
  readonly reviewedBy: string | null;
  readonly review: string | null;
}

/** One decision of one approver. */
export interface ApprovalView {
  readonly approver: string;
  readonly outcome: 'approve' | 'refuse';
  readonly at: number;
  readonly comment: string;
  readonly owner: string;
  readonly role: string | null;
  readonly seconds: number | null;
  readonly only: readonly string[] | null;
}

export interface RequestActView {
  readonly act: string;
  readonly at: number;
  readonly by: string;
  readonly reason: string;
  readonly detail: unknown;
}

export interface RequestDetail extends RequestView {
  readonly approvals: readonly ApprovalView[];
  readonly acts: readonly RequestActView[];
}

/** A request as a transaction holds it: what the ledger says beside what the time says. */
export interface HeldRequest extends RequestView {
  readonly stored: StoredState;
}

/**
 * Requests with their newest grant, and where they stand at `$1`: an answer for `heldOf`. The end of what was approved and
 * never begun is the end of its time.
 */
export const REQUESTS = `(
  select r.*, (select count(*) from approvals a where a.request_id = r.id and a.outcome = 'approve') as given,
    g.not_before as grant_from, g.expires_at as grant_until, g.renewals as grant_renewals,
    g.revoked_at as grant_revoked, g.suspended_at as grant_suspended,
    case
      when r.state = 'pending' and r.decide_by <= $1 then 'lapsed'
      when r.state = 'approved' and $1 >= case r.clock when 'first_use' then r.ends_at
        else r.starts_at + coalesce(r.allowed_seconds, r.seconds) * interval '1 second' end then 'expired'
      when r.state = 'activated' and g.revoked_at is not null then 'revoked'
      when r.state = 'activated' and g.expires_at <= $1 then 'expired'
      else r.state end as stands
  from access_requests r left join grants g on g.id = r.grant_id
) as request`;

/** @param row - of `REQUESTS` */
export function heldOf(row: Row): HeldRequest {
  return {
    ...{ id: text(row.id), principal: text(row.principal), service: text(row.service), role: text(row.role) },
    ...{ task: text(row.task), kind: kindOf(row.kind), startsAt: time(row.starts_at), endsAt: time(row.ends_at) },
    ...{ seconds: Number(row.seconds), clock: row.clock === 'first_use' ? ('first_use' as const) : ('start' as const) },
    ...{ hours: textOrNull(row.hours), sponsor: textOrNull(row.sponsor), nda: textOrNull(row.nda) },
    ...{ lane: text(row.lane), owner: text(row.owner), policyVersion: text(row.policy_version) },
    ...{ needed: Number(row.needed), given: Number(row.given), state: standsOf(row.stands) },
    ...{ createdAt: time(row.created_at), decideBy: time(row.decide_by), decidedAt: timeOrNull(row.decided_at) },
    ...{ allowedRole: textOrNull(row.allowed_role), allowedSeconds: numberOrNull(row.allowed_seconds) },
    ...{ allowedOnly: textsOrNull(row.allowed_only), grant: grantOf(row), activatedAt: timeOrNull(row.activated_at) },
    ...{ overAt: timeOrNull(row.over_at), reviewDue: timeOrNull(row.review_due), review: textOrNull(row.review) },
    ...{ reviewedAt: timeOrNull(row.reviewed_at), reviewedBy: textOrNull(row.reviewed_by) },
    stored: storedOf(row.state),
  };
}

/** What may be shown of it. */
export function viewOf({ stored: _, ...view }: HeldRequest): RequestView {
  return view;
}

export function approvalOf(row: Row): ApprovalView {
  return {
    ...{ approver: text(row.approver), outcome: row.outcome === 'approve' ? 'approve' : 'refuse', at: time(row.at) },
    ...{ comment: text(row.comment), owner: text(row.owner), role: textOrNull(row.role) },
    ...{ seconds: numberOrNull(row.seconds), only: textsOrNull(row.only_rules) },
  };
}

export function actOf(row: Row): RequestActView {
  return { act: text(row.act), at: time(row.at), by: text(row.by), reason: text(row.reason), detail: row.detail };
}

function grantOf(row: Row): RequestGrant | null {
  if (row.grant_id === null || row.grant_id === undefined) return null;
  return {
    ...{ id: text(row.grant_id), notBefore: time(row.grant_from), expiresAt: time(row.grant_until) },
    ...{ renewals: Number(row.grant_renewals), revoked: row.grant_revoked !== null },
    suspended: row.grant_suspended !== null,
  };
}

/** A state that is none is over: nothing may be done with it. */
function storedOf(value: unknown): StoredState {
  return STORED_STATES.find((state) => state === value) ?? 'revoked';
}

function standsOf(value: unknown): RequestState {
  return value === 'expired' ? 'expired' : storedOf(value);
}

function kindOf(value: unknown): Kind {
  return value === 'pre_approved' || value === 'break_glass' ? value : 'usual';
}

function text(value: unknown): string {
  return String(value);
}

function textOrNull(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}

function textsOrNull(value: unknown): readonly string[] | null {
  return Array.isArray(value) ? value.map(String) : null;
}

function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value);
}

/** A value that is no time becomes NaN, and every comparison with it denies. */
function time(value: unknown): number {
  return value instanceof Date ? value.getTime() : Number.NaN;
}

function timeOrNull(value: unknown): number | null {
  return value instanceof Date ? value.getTime() : null;
}
