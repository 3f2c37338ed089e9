import { z } from 'zod';
import type { Nda } from '../access/nda.js';
import { type PolicySource, usualApprovals } from '../access/policy.js';
import type { RequestDetail, RequestView } from '../access/request.js';
import { iso } from '../clock.js';
import { moment } from './schemas.js';

/** Where a request stands. */
export const requestState = z.enum([
  ...['pending', 'approved', 'activated', 'refused', 'withdrawn'],
  ...['lapsed', 'returned', 'revoked', 'expired'],
] as const);

const grant = z.object({
  id: z.string(),
  notBefore: moment,
  expiresAt: moment,
  renewals: z.int(),
  revoked: z.boolean(),
  suspended: z.boolean().describe('while nobody answers for its holder'),
});

export const requestSchema = z.object({
  id: z.string(),
  state: requestState,
  principal: z.string(),
  service: z.string(),
  role: z.string(),
  task: z.string(),
  kind: z.enum(['usual', 'pre_approved', 'break_glass']),
  startsAt: moment,
  endsAt: moment.describe('with clock `start` the end that was asked for, with `first_use` the last moment to begin'),
  seconds: z.int(),
  clock: z.enum(['start', 'first_use']),
  hours: z.string().nullable(),
  sponsor: z.string().nullable(),
  nda: z.string().nullable(),
  lane: z.string(),
  owner: z.string(),
  policyVersion: z.string(),
  needed: z.int().describe('approvals, as it was judged last'),
  usual: z
    .int()
    .nullable()
    .describe('approvals without access in another lane at the same time, by the policy in force'),
  given: z.int(),
  createdAt: moment,
  decideBy: moment,
  decidedAt: moment.nullable(),
  allowed: z
    .object({ role: z.string().nullable(), seconds: z.int().nullable(), only: z.array(z.string()).nullable() })
    .describe('what the approvers left of it; null: as it was asked for'),
  grant: grant.nullable(),
  activatedAt: moment.nullable(),
  overAt: moment.nullable(),
  reviewDue: moment.nullable(),
  reviewedAt: moment.nullable(),
  reviewedBy: z.string().nullable(),
  review: z.string().nullable(),
});

const approval = z.object({
  approver: z.string(),
  outcome: z.enum(['approve', 'refuse']),
  at: moment,
  comment: z.string(),
  owner: z.string(),
  role: z.string().nullable(),
  seconds: z.int().nullable(),
  only: z.array(z.string()).nullable(),
});

const act = z.object({ act: z.string(), at: moment, by: z.string(), reason: z.string(), detail: z.unknown() });

export const requestDetailSchema = requestSchema.extend({ approvals: z.array(approval), acts: z.array(act) });

export type RequestJson = z.output<typeof requestSchema>;
export type RequestDetailJson = z.output<typeof requestDetailSchema>;

/** A request as the API tells it. */
export function requestJson(view: RequestView, policies: PolicySource): RequestJson {
  const { id, state, principal, service, role, task, kind, seconds, clock, hours, sponsor, nda, lane, owner } = view;
  const { policyVersion, needed, given, reviewedBy, review, allowedRole, allowedSeconds, allowedOnly } = view;
  return {
    ...{ id, state, principal, service, role, task, kind, seconds, clock, hours, sponsor, nda, lane, owner },
    ...{ policyVersion, needed, usual: usualApprovals(policies, view), given, reviewedBy, review },
    ...{ startsAt: iso(view.startsAt), endsAt: iso(view.endsAt), createdAt: iso(view.createdAt) },
    ...{ decideBy: iso(view.decideBy), decidedAt: iso(view.decidedAt), activatedAt: iso(view.activatedAt) },
    ...{ overAt: iso(view.overAt), reviewDue: iso(view.reviewDue), reviewedAt: iso(view.reviewedAt) },
    allowed: { role: allowedRole, seconds: allowedSeconds, only: allowedOnly && [...allowedOnly] },
    grant: view.grant && {
      ...view.grant,
      ...{ notBefore: iso(view.grant.notBefore), expiresAt: iso(view.grant.expiresAt) },
    },
  };
}

/** A request with its decisions and what happened to it. */
export function requestDetailJson(detail: RequestDetail, policies: PolicySource): RequestDetailJson {
  return {
    ...requestJson(detail, policies),
    approvals: detail.approvals.map((one) => ({ ...one, at: iso(one.at), only: one.only && [...one.only] })),
    acts: detail.acts.map((one) => ({ ...one, at: iso(one.at) })),
  };
}

export const ndaSchema = z.object({
  id: z.string(),
  party: z.string(),
  title: z.string(),
  textHash: z.string().describe('SHA-256 of the text that was signed, hex'),
  signedOn: z.string(),
  validUntil: z.string().describe('its last day, UTC'),
  registeredAt: moment,
  registeredBy: z.string(),
  endedAt: moment.nullable(),
  endedBy: z.string().nullable(),
});

export type NdaJson = z.output<typeof ndaSchema>;

export function ndaJson(nda: Nda): NdaJson {
  return { ...nda, registeredAt: iso(nda.registeredAt), endedAt: iso(nda.endedAt) };
}
