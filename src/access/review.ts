import type { Row } from '../identity/ask.js';
import type { Usage } from './review-usage.js';

/** `unanswered`: nobody did in time. `over`: the access ended before somebody did. */
export type Answer = 'confirm' | 'end' | 'unanswered' | 'over';

/** A review as it stands in the ledger. Times are milliseconds since the epoch. */
export interface Review {
  readonly id: string;
  readonly request: string | null;
  readonly grant: string;
  readonly service: string;
  readonly principal: string;
  readonly owner: string;
  readonly openedAt: number;
  readonly dueAt: number;
  readonly answer: Answer | null;
  readonly answeredAt: number | null;
  readonly answeredBy: string | null;
  readonly comment: string | null;
  /** When the access had ended for the answer. */
  readonly endedAt: number | null;
}

/** A review with what is granted and used. */
export type ReviewView = Review & Usage;

/** Access in force at `$1`, and since when: a request's newest grant, or one that no request made. */
export const IN_FORCE = `
  select coalesce('request:' || r.id, 'grant:' || g.id) as subject, r.id as request_id, g.id as grant_id, g.service,
    g.principal, coalesce(r.owner, '') as owner,
    greatest(coalesce(r.activated_at, g.issued_at), coalesce(r.starts_at, g.not_before)) as since
  from grants g left join access_requests r on r.grant_id = g.id
  where g.revoked_at is null and g.expires_at > $1`;

export const REVIEWS = `
  select * from reviews where ($1::boolean or answer is null) and ($2::text is null or service = $2)
    and ($3::text[] is null or service = any($3)) and ($4::uuid is null or id < $4) order by id desc limit $5`;

const ANSWERS: readonly Answer[] = ['confirm', 'end', 'unanswered', 'over'];

export function reviewOf(row: Row): Review {
  const time = (value: unknown) => (value instanceof Date ? value.getTime() : null);
  const text = (value: unknown) => (value === null ? null : String(value));
  return {
    ...{ id: String(row.id), request: text(row.request_id), grant: String(row.grant_id) },
    ...{ service: String(row.service), principal: String(row.principal), owner: String(row.owner) },
    ...{ openedAt: time(row.opened_at) ?? 0, dueAt: time(row.due_at) ?? 0 },
    answer: ANSWERS.find((answer) => answer === row.answer) ?? null,
    ...{ answeredAt: time(row.answered_at), answeredBy: text(row.answered_by), comment: text(row.comment) },
    endedAt: time(row.ended_at),
  };
}
