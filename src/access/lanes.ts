import type { Row } from '../identity/ask.js';
import { overlap } from './period.js';
import type { PolicySource } from './policy.js';
import type { Transaction } from './transact.js';

/** Whose access in other lanes is asked about, and when. Times are milliseconds since the epoch. */
export interface LaneQuestion {
  readonly principal: string;
  /** The request that is judged; it and its grant are not the other one. */
  readonly request: string;
  readonly grant: string | null;
  readonly lane: string;
  readonly span: readonly [number, number];
}

/**
 * Whether a person has access in another lane at the same time: a grant in force (also one that an operator issued, or that is
 * suspended), or a request that was approved and can still be activated. The caller holds the person's row, so that two
 * requests of one person are judged one after the other.
 */
export async function hasOtherLane(
  tx: Transaction,
  policies: PolicySource,
  { principal, request, grant, lane, span }: LaneQuestion,
  now: number,
): Promise<boolean> {
  const approved = await tx.ask(
    `select service, lane, starts_at as begins, case clock when 'first_use' then ends_at else starts_at end
       + coalesce(allowed_seconds, seconds) * interval '1 second' as ends
     from access_requests where principal = $1 and id <> $2 and state = 'approved'`,
    [principal, request],
  );
  const granted = await tx.ask(
    `select service, not_before as begins, expires_at as ends from grants
     where principal = $1 and id is distinct from $2 and revoked_at is null and expires_at > $3`,
    [principal, grant, new Date(now)],
  );
  return [...approved, ...granted].some((row) => laneOf(row, policies) !== lane && overlap(spanOf(row, now), span));
}

/** The lane in force; of a service that is gone the one it had, and of a grant for one none that is known: another. */
function laneOf(row: Row, policies: PolicySource): string {
  return policies.get(String(row.service))?.lane ?? String(row.lane ?? 'unknown');
}

function spanOf({ begins, ends }: Row, now: number): readonly [number, number] {
  const [from, until] = [begins, ends].map((at) => (at instanceof Date ? at.getTime() : Number.NaN));
  return [Math.max(from ?? now, now), until ?? Number.POSITIVE_INFINITY];
}
