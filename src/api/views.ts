import type { GrantView, RecordedAct } from '../grant/record.js';
import type { RecordedEvent } from '../recording/event.js';
import type { SessionView } from '../recording/read.js';

/** Times leave the gateway as ISO 8601. */
function iso(at: number): string;
function iso(at: number | null): string | null;
function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

/** A grant as the API tells it. */
export function grantJson(grant: GrantView) {
  const { id, service, principal, role, sponsor, reason, state, renewals } = grant;
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
  };
}

export function actJson(act: RecordedAct) {
  return { act: act.act, at: iso(act.at), by: act.by, reason: act.reason };
}

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
