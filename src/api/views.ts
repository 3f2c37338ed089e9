import { z } from 'zod';
import { iso } from '../clock.js';
import type { GrantView, RecordedAct } from '../grant/record.js';
import type { RecordedEvent } from '../recording/event.js';
import type { SessionView } from '../recording/read.js';
import { moment } from './schemas.js';

export const grantSchema = z.object({
  id: z.string(),
  state: z.enum(['active', 'not_yet', 'expired', 'revoked', 'suspended']),
  service: z.string(),
  principal: z.string(),
  role: z.string(),
  sponsor: z.string(),
  reason: z.string(),
  issuedAt: moment,
  notBefore: moment,
  expiresAt: moment,
  renewals: z.int(),
  revokedAt: moment.nullable(),
  window: z.string().nullable().describe('the weekly hours during which it may be used'),
  only: z.array(z.string()).nullable().describe('the rules of the role that it is for; null: all of them'),
});

const act = z.object({ act: z.string(), at: moment, by: z.string(), reason: z.string() });

export const shownGrantSchema = grantSchema.extend({ acts: z.array(act) });

/** A grant as the API tells it. */
export function grantJson(grant: GrantView) {
  const { id, service, principal, role, sponsor, reason, state, renewals, window, only } = grant;
  const { issuedAt, notBefore, expiresAt, revokedAt } = grant;
  return {
    id,
    state,
    service,
    principal,
    role,
    sponsor,
    reason,
    issuedAt: iso(issuedAt),
    notBefore: iso(notBefore),
    expiresAt: iso(expiresAt),
    renewals,
    revokedAt: iso(revokedAt),
    window,
    only: only && [...only],
  };
}

export function actJson(act: RecordedAct) {
  return { act: act.act, at: iso(act.at), by: act.by, reason: act.reason };
}

export const sessionSchema = z.object({
  id: z.string(),
  gatewayId: z.string(),
  grantId: z.string(),
  service: z.string(),
  protocol: z.string(),
  principal: z.string(),
  role: z.string(),
  client: z.string(),
  mode: z.string(),
  policyVersion: z.string(),
  startedAt: moment,
  endedAt: moment.nullable(),
  endReason: z.string().nullable(),
  dueAt: moment.nullable(),
  cutAt: moment.nullable(),
  bytesAfterDue: z.number().nullable(),
  counts: z.object({
    actions: z.number(),
    denied: z.number(),
    rows: z.number(),
    bytesIn: z.number(),
    bytesOut: z.number(),
  }),
});

export const shownSessionSchema = sessionSchema.extend({
  liveHere: z.boolean().describe('whether it is live on the gateway that answers'),
});

/** A session as the API tells it. */
export function sessionJson(session: SessionView) {
  const { startedAt, endedAt, dueAt, cutAt, ...rest } = session;
  return { ...rest, startedAt: iso(startedAt), endedAt: iso(endedAt), dueAt: iso(dueAt), cutAt: iso(cutAt) };
}

export function eventJson(event: RecordedEvent) {
  return { ...event, at: iso(event.at) };
}

export type GrantJson = ReturnType<typeof grantJson>;
export type SessionJson = ReturnType<typeof sessionJson>;
