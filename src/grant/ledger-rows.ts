import type { Grant } from './grant.js';
import { ACTS, type Act, type LedgerRow, type RecordedAct } from './record.js';

/** How grants and acts on them stand in rows of the ledger. */

export type Row = Record<string, unknown>;

export const GRANT_COLUMNS =
  'id, service, principal, role, sponsor, reason, token, issued_at, not_before, expires_at, renewals, revoked_at, suspended_at';
/** With `grantValues`. */
export const INSERT_GRANT = `insert into grants (${GRANT_COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, null, null)`;

/** With `actValues`. The audit log is told the door by the same transaction (migration 005). */
export const INSERT_ACT = `
  insert into grant_acts (grant_id, act, at, by, reason, token)
  select $1, $2, $3, $4, $5, $6 where set_config('daypass.via', $7, true) is not null`;

export function actValues(id: string, name: RecordedAct['act'], act: Act, token: string | null = null): unknown[] {
  const { at, by, reason, via = '' } = act;
  return [id, name, new Date(at), by, reason, token, via];
}

export function grantValues(grant: Grant): unknown[] {
  return [
    ...[grant.id, grant.service, grant.principal, grant.role, grant.sponsor, grant.reason, grant.token],
    ...[new Date(grant.issuedAt), new Date(grant.notBefore), new Date(grant.expiresAt), grant.renewals],
  ];
}

/** @param row - with `GRANT_COLUMNS` */
export function rowOf(row: Row): LedgerRow {
  return {
    id: String(row.id),
    service: String(row.service),
    principal: String(row.principal),
    role: String(row.role),
    sponsor: String(row.sponsor),
    reason: String(row.reason),
    token: String(row.token),
    issuedAt: time(row.issued_at),
    notBefore: time(row.not_before),
    expiresAt: time(row.expires_at),
    renewals: Number(row.renewals),
    revokedAt: row.revoked_at === null ? null : time(row.revoked_at),
    suspendedAt: row.suspended_at === null ? null : time(row.suspended_at),
  };
}

/** Milliseconds since the epoch. A value that is no time becomes NaN, and every comparison with it denies. */
export function time(value: unknown): number {
  return value instanceof Date ? value.getTime() : Number.NaN;
}

export function actName(value: unknown): RecordedAct['act'] {
  return ACTS.find((act) => act === value) ?? 'revoke';
}
