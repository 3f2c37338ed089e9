import type { Grant } from './grant.js';
import { narrowingIn } from './verify.js';

/** What the ledger holds of a grant, without its token. Times are milliseconds since the epoch. */
export interface GrantRecord {
  readonly id: string;
  readonly service: string;
  readonly principal: string;
  readonly role: string;
  readonly sponsor: string;
  readonly reason: string;
  readonly issuedAt: number;
  readonly notBefore: number;
  readonly expiresAt: number;
  readonly renewals: number;
  readonly revokedAt: number | null;
  /** Since when it is suspended; null when it is not. */
  readonly suspendedAt: number | null;
}

/** A row of the ledger with its signed token (which holds a hash of the secret, never the secret). */
export interface LedgerRow extends GrantRecord {
  readonly token: string;
}

/** By which door somebody came; `system`: the gateway itself. */
export type Door = 'socket' | 'browser' | 'token' | 'system';

/** Who did something to a grant, why and when. */
export interface Act {
  readonly by: string;
  readonly reason: string;
  /** The operator's socket unless told. At any other door a name is an account's; there it is what somebody says. */
  readonly via?: Door | undefined;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What can be done to a grant. `replace` is how one begins that takes the place of another, which is revoked. */
export const ACTS = ['issue', 'renew', 'revoke', 'suspend', 'resume', 'replace'] as const;

/** An act as the ledger tells it. */
export interface RecordedAct extends Act {
  readonly act: (typeof ACTS)[number];
}

/** What `daypass grant show` and `list` tell: the record and where it stands now. */
export interface GrantView extends GrantRecord, Pick<Grant, 'window' | 'only'> {
  readonly state: 'active' | 'not_yet' | 'suspended' | 'expired' | 'revoked';
}

/** @param now - milliseconds since the epoch */
export function viewOf(record: LedgerRow, now: number, revoked = record.revokedAt !== null): GrantView {
  const { id, service, principal, role, sponsor, reason } = record;
  const { issuedAt, notBefore, expiresAt, renewals, revokedAt, suspendedAt } = record;
  const who = { id, service, principal, role, sponsor, reason };
  return {
    ...who,
    issuedAt,
    notBefore,
    expiresAt,
    renewals,
    revokedAt,
    suspendedAt,
    ...narrowingIn(record.token),
    state: revoked ? 'revoked' : stateAt(record, now),
  };
}

function stateAt(record: GrantRecord, now: number): GrantView['state'] {
  if (record.expiresAt <= now) return 'expired';
  if (record.suspendedAt !== null) return 'suspended';
  return now < record.notBefore ? 'not_yet' : 'active';
}
