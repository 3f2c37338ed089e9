import { createHash } from 'node:crypto';
import type { Pool, PoolClient } from 'pg';
import { appendAudit } from '../audit/append.js';
import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import type { SigningKey } from '../grant/keys.js';
import { type Actor, owns } from '../identity/actor.js';
import { inTransaction } from '../recording/transaction.js';
import { refused } from './audit.js';
import { closeOutPage } from './closeout-page.js';
import { type CloseOutRecord, FORMAT } from './closeout-record.js';
import { closeOutFile, type SignedCloseOut, signCloseOut } from './closeout-sign.js';
import * as engagement from './engagement.js';
import { type EngagementSessions, readEngagementSessions } from './engagement-sessions.js';

export interface CloseOutParts {
  readonly pool: Pool;
  readonly signingKey: SigningKey;
  /** `group:<name>` that owns a service by the policy in force; undefined for a service that is gone. */
  readonly ownerOf: (service: string) => string | undefined;
  readonly clock: Clock;
}

/** A close-out as it is given away. */
export interface CloseOut extends SignedCloseOut {
  /** The JSON file. */
  readonly file: string;
  /** The same as one printable page. */
  page(): string;
}

/** Records of whole engagements, signed so that anybody can verify them offline. */
export class CloseOuts {
  readonly #parts: CloseOutParts;

  constructor(parts: CloseOutParts) {
    this.#parts = parts;
  }

  /**
   * Makes the record of an engagement as it stands at one moment; interim while something of it goes on. That it was made is
   * in the audit log before it is answered.
   * @throws DaypassError `unknown_request`, `not_allowed` for whoever is no reviewer, no operator and no owner of the service
   */
  async make(actor: Actor, id: string): Promise<CloseOut> {
    const { pool, signingKey } = this.#parts;
    const line = { actor: actor.subject, via: actor.via, act: 'closeout.make', target: `request:${id}`, reason: null };
    const record = await inTransaction(pool, (client) => this.#read(client, actor, id)).catch((thrown: unknown) => {
      if (thrown instanceof DaypassError) return refused(pool, line, thrown);
      throw thrown;
    });
    const { jws } = await signCloseOut(record, signingKey);
    const payload = JSON.stringify(record);
    const detail = { state: record.state, sha256: createHash('sha256').update(payload).digest('hex') };
    await appendAudit(pool, { ...line, result: 'done', detail });
    return { record, jws, file: closeOutFile(payload, jws), page: () => closeOutPage(record, jws) };
  }

  async #read(client: PoolClient, actor: Actor, id: string): Promise<CloseOutRecord> {
    // One moment for all that is read: nothing of it can contradict itself.
    await client.query('set transaction isolation level repeatable read read only');
    const request = await engagement.readRequest(client, id);
    if (request === null) throw new DaypassError('unknown_request', `There is no request ${id}.`);
    checkMayMake(actor, this.#parts.ownerOf(request.service) ?? request.owner);
    const grants = await engagement.readGrants(client, request);
    const ids = grants.map((grant) => grant.id);
    const sessions = await readEngagementSessions(client, ids);
    const acts = await engagement.readActs(client, id);
    const versions = versionsOf(request, acts, sessions.sessions);
    const now = this.#parts.clock.wall();
    const open = openPoints(request, grants, sessions.sessions, now);
    return {
      format: FORMAT,
      state: open.length === 0 ? 'final' : 'interim',
      open,
      made: { at: new Date(now).toISOString(), by: actor.subject, via: actor.via },
      request,
      approvals: await engagement.readApprovals(client, id),
      acts,
      nda: await engagement.readNda(client, request),
      grants,
      ...summed(sessions),
      alerts: await engagement.readAlerts(client, ids),
      audit: await engagement.readAudit(client, request, ids),
      policies: await engagement.readPolicies(client, versions),
    };
  }
}

/** The policies that anything of it was judged by. */
function versionsOf(
  { policyVersion }: CloseOutRecord['request'],
  acts: CloseOutRecord['acts'],
  sessions: EngagementSessions['sessions'],
): string[] {
  const judged = acts.flatMap(({ detail: { policy } }) => (typeof policy === 'string' ? [policy] : []));
  return [...new Set([policyVersion, ...judged, ...sessions.map((session) => session.policyVersion)])];
}

function checkMayMake(actor: Actor, owner: string): void {
  if (actor.duties.has('operator') || actor.duties.has('reviewer') || owns(actor, owner)) return;
  throw new DaypassError('not_allowed', 'Only reviewers, operators and the owners of the service make close-outs.');
}

const OVER: ReadonlySet<string> = new Set(['refused', 'withdrawn', 'lapsed', 'returned', 'revoked']);

/**
 * What keeps an engagement from being over, one sentence each.
 * @param now - milliseconds since the epoch
 */
export function openPoints(
  { state, endsAt, kind, activatedAt, reviewedAt }: CloseOutRecord['request'],
  grants: CloseOutRecord['grants'],
  sessions: EngagementSessions['sessions'],
  now: number,
): string[] {
  const inForce = grants.filter(({ revokedAt, expiresAt }) => revokedAt === null && Date.parse(expiresAt) > now);
  const live = sessions.filter(({ to }) => to === null);
  const unreadable = sessions.filter((session) => session.unreadable);
  const waits = !OVER.has(state) && state !== 'activated' && (state === 'pending' || Date.parse(endsAt) > now);
  return [
    ...(waits ? [`The request is ${state}.`] : []),
    ...inForce.map(({ id, expiresAt }) => `Grant ${id} is in force until ${expiresAt}.`),
    ...(live.length === 0 ? [] : [`${live.length} sessions have not ended.`]),
    ...(kind === 'break_glass' && activatedAt !== null && reviewedAt === null
      ? ['The emergency access was not reviewed.']
      : []),
    ...unreadable.map(({ id }) => `A part of the recording of session ${id} cannot be read.`),
  ];
}

function summed({ sessions, listed }: EngagementSessions): Pick<CloseOutRecord, 'sessions' | 'totals' | 'denials'> {
  const sum = (of: (session: CloseOutRecord['sessions'][number]) => number) =>
    sessions.reduce((total, session) => total + of(session), 0);
  const byReason: Record<string, number> = {};
  for (const { denials } of sessions) {
    for (const [reason, count] of Object.entries(denials)) byReason[reason] = (byReason[reason] ?? 0) + count;
  }
  const total = Object.values(byReason).reduce((all, count) => all + count, 0);
  return {
    sessions: [...sessions],
    totals: {
      sessions: sessions.length,
      actions: sum(({ actions }) => actions),
      rows: sum(({ rows }) => rows),
      bytesIn: sum(({ bytesIn }) => bytesIn),
      bytesOut: sum(({ bytesOut }) => bytesOut),
    },
    denials: {
      total,
      byReason: Object.fromEntries(Object.entries(byReason).sort(([one], [other]) => (one < other ? -1 : 1))),
      listed: [...listed],
      more: total - listed.length,
    },
  };
}
