import { DaypassError } from '../errors.js';
import type { Grant } from '../grant/grant.js';
import type { IssueRequest, RenewRequest } from '../grant/limits.js';
import type { Act, GrantRecord } from '../grant/record.js';

type Why = Omit<Act, 'at'>;

/** What requests do with grants; `GrantAuthority` does it. */
export interface Grants {
  issue(asked: IssueRequest): Promise<{ readonly grant: Grant; readonly handle: string }>;
  replace(id: string, act: Why): Promise<{ readonly grant: Grant; readonly handle: string }>;
  renew(id: string, request: RenewRequest): Promise<Grant>;
  show(id: string): Promise<GrantRecord>;
  revoke(id: string, act: Why): Promise<{ readonly ledger: 'written' | 'queued' }>;
  suspend(id: string, act: Why): Promise<void>;
  resume(id: string, act: Why): Promise<void>;
}

/** What became of a revocation that may be less than whole. */
export interface RevokedGrant {
  readonly ledger: 'written' | 'queued';
  /** What remains to be said: the ledger has it, and the grant store did not answer. */
  readonly but?: DaypassError | undefined;
}

/** Revokes a grant. @throws DaypassError when it does not hold everywhere in the end */
export async function revokeGrant(grants: Grants, id: string, act: Why): Promise<RevokedGrant> {
  try {
    const { ledger } = await grants.revoke(id, act);
    return { ledger };
  } catch (thrown) {
    if (thrown instanceof DaypassError && thrown.code === 'announce_failed') return { ledger: 'written', but: thrown };
    throw thrown;
  }
}
