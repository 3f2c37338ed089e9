import type { DenialReason } from '../policy/reason.js';
import type { GrantCheck } from './grant.js';
import type { LedgerRow } from './record.js';
import type { StoredGrant } from './store.js';

/** What the store and the ledger answered about one grant, and when (wall clock, milliseconds) they were asked and had answered. */
export interface Answers {
  readonly stored: StoredGrant;
  readonly row: LedgerRow | null;
  readonly asked: number;
  readonly answered: number;
}

/** The store's clock may differ from ours by this much: beyond it one of the two would end grants at the wrong time. */
export const MAX_SKEW_MS = 2_000;

/**
 * How far our clock is ahead of the store's, milliseconds (negative: behind), at least: the answer was made at some moment
 * between the question and its arrival, so within that stretch there is no difference to speak of.
 */
export function skewOf(now: number, asked: number, answered: number): number {
  if (now < asked) return asked - now;
  return now <= answered ? 0 : answered - now; // also what is no number: it compares as no
}

/** A no, and the token of the grant that it is about where the ledger has one. */
export interface Denied {
  readonly kind: 'denied';
  readonly check: Extract<GrantCheck, { ok: false }>;
  readonly token?: string;
}

/** Where the answers lead: a denial, a token on which both agree, or two tokens that differ. */
export type Verdict =
  | Denied
  | { readonly kind: 'agreed'; readonly token: string; readonly expiresAt: number }
  | { readonly kind: 'differ'; readonly stored: string; readonly ledger: string };

/** Judges the answers. Either side's no is a no. Pure. */
export function judgeAnswers({ stored, row, asked, answered }: Answers): Verdict {
  if (!(Math.abs(skewOf(stored.now, asked, answered)) <= MAX_SKEW_MS)) {
    return denied('store_unavailable', 'Grants cannot be checked: the clock skew to the grant store exceeds 2 s.');
  }
  if (stored.revoked || (row !== null && row.revokedAt !== null)) return revoked(row);
  if (row === null) return denied('unknown_grant', 'There is no such grant.');
  if (!(answered < row.expiresAt)) return { ...denied('expired', 'The grant has expired.'), token: row.token };
  if (row.suspendedAt !== null) return suspended(row);
  if (stored.token === null) return denied('unknown_grant', 'The grant is not in force.');
  if (stored.token !== row.token) return { kind: 'differ', stored: stored.token, ledger: row.token };
  return { kind: 'agreed', token: row.token, expiresAt: row.expiresAt };
}

/** @param row - what the ledger knows of the grant, if it answered */
export function revoked(row: LedgerRow | null): Denied {
  const revokedAt = row?.revokedAt ?? null;
  const said = denied('revoked', 'The grant was revoked.');
  const check = revokedAt === null ? said.check : { ...said.check, revokedAt };
  return row === null ? { kind: 'denied', check } : { kind: 'denied', check, token: row.token };
}

export function suspended({ token }: LedgerRow): Denied {
  return { ...denied('suspended', 'The grant is suspended.'), token };
}

export function denied(reason: DenialReason, message: string): Denied {
  return { kind: 'denied', check: { ok: false, reason, message } };
}
