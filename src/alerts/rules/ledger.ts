import { decodeJwt } from 'jose';
import type { Pool } from 'pg';
import type { AlertSettings } from '../../config/alerts.js';
import type { Alert } from '../../recording/alerts.js';

/** Asks the ledger what nobody's action shows. What was told already is left out; each is told once. */
export type LedgerRule = (pool: Pool, settings: AlertSettings, now: number) => Promise<readonly Alert[]>;

interface GrantRow {
  readonly id: string;
  readonly principal: string;
  readonly service: string;
  readonly role: string;
  readonly reason: string;
  readonly token: string;
}

const untold = (kind: 'direct_issue' | 'unused_grant') =>
  `not exists (select from alerts a where a.kind = '${kind}' and a.subject = 'grant:' || g.id)`;

/**
 * Grants that an operator issued past all requests.
 * @param since - from when on the ledger is looked through, milliseconds since the epoch
 */
export async function directIssue(pool: Pool, since: number, now: number): Promise<readonly Alert[]> {
  const text = `select id, principal, service, role, reason, token from grants g
    where issued_at > $1 and ${untold('direct_issue')}
      and not exists (select from access_requests r where r.grant_id = g.id) order by issued_at limit 10000`;
  const { rows } = await pool.query<GrantRow>(text, [new Date(since)]);
  return rows
    .filter(({ token }) => !isAskedFor(token))
    .map((row) => ({
      kind: 'direct_issue' as const,
      ...ofGrant(row, now),
      detail: { role: row.role, reason: row.reason },
    }));
}

/** Grants in force that nobody has used. */
export const unusedGrant: LedgerRule = async (pool, { unused_grant: { after } }, now) => {
  const text = `select id, principal, service, role, reason, token from grants g
    where revoked_at is null and expires_at > $1 and not_before <= $2 and ${untold('unused_grant')}
      and not exists (select from sessions s where s.grant_id = g.id and s.end_reason is distinct from 'refused')
    order by not_before limit 1000`;
  const { rows } = await pool.query<GrantRow>(text, [new Date(now), new Date(now - after * 1000)]);
  return rows.map((row) => ({ kind: 'unused_grant' as const, ...ofGrant(row, now), detail: { role: row.role } }));
};

/** Accounts that end soon; one that is extended is told of again before its new end. */
export const accountEnding: LedgerRule = async (pool, { account_ending: { within } }, now) => {
  const text = `select subject, sponsor, ends_at from people p
    where closed_at is null and ends_at > $1 and ends_at <= $2 and not exists (select from alerts a
      where a.kind = 'account_ending' and a.principal = p.subject and (a.detail ->> 'endsAt')::timestamptz = p.ends_at)
    order by ends_at limit 1000`;
  const { rows } = await pool.query<{ subject: string; sponsor: string | null; ends_at: Date }>(text, [
    ...[new Date(now), new Date(now + within * 1000)],
  ]);
  return rows.map(({ subject: principal, sponsor, ends_at }) => {
    const endsAt = ends_at.toISOString();
    const about = { principal, service: null, grant: null, session: null, detail: { endsAt, sponsor }, at: now };
    return { kind: 'account_ending' as const, subject: `person:${principal} ${endsAt}`, ...about, once: true };
  });
};

function ofGrant({ id: grant, principal, service }: GrantRow, at: number) {
  return { subject: `grant:${grant}`, principal, service, grant, session: null, at, once: true };
}

/** Whether a grant came from a request: its token names it. One that cannot be read came from none. */
function isAskedFor(token: string): boolean {
  try {
    return decodeJwt(token).req !== undefined;
  } catch {
    return false;
  }
}
