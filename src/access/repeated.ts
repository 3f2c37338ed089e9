import type { Pool } from 'pg';
import { DaypassError } from '../errors.js';
import type { Actor } from '../identity/actor.js';

export interface RepeatedAsked {
  /** Requests made since, milliseconds since the epoch. */
  readonly since: number;
  /** At least so many. */
  readonly times: number;
  /** Counted for each person, or for all people of a group together. */
  readonly of: 'person' | 'group';
  /** Apart by the rules that approvers left of the role. */
  readonly only?: boolean;
  readonly service?: string | undefined;
  readonly limit?: number;
}

/** The same permission, asked for again and again. Times are ISO 8601. */
export interface Repeated {
  /** A person's subject, or a group's name. */
  readonly who: string;
  readonly service: string;
  readonly role: string;
  /** The rules that approvers left of it; null: all of them, or not asked. */
  readonly only: readonly string[] | null;
  readonly requests: number;
  readonly people: number;
  readonly first: string;
  readonly last: string;
  /** What may be missing, one sentence. */
  readonly hint: string;
}

const MOST = 1_000;

const REPORT = `
  select w.who, r.service, coalesce(r.allowed_role, r.role) as role,
    case when $4 then r.allowed_only end as "only", count(*)::int as requests, count(distinct r.principal)::int as people,
    min(r.created_at) as first, max(r.created_at) as last
  from access_requests r join people p on p.subject = r.principal
  cross join lateral (
    select p.subject as who where $3 = 'person' union all select g from unnest(p.groups) as g where $3 = 'group') w
  where r.created_at >= $1 and ($5::text is null or r.service = $5)
  group by 1, 2, 3, 4 having count(*) >= $2 order by requests desc, who, r.service, role, "only" limit $6`;

/**
 * Requests for the same permission that come again and again: a role, or a template of one, is missing. The most frequent
 * first, a thousand at most.
 * @throws DaypassError `not_allowed` unless a reviewer or an operator asks
 */
export async function repeatedRequests(pool: Pool, actor: Actor, asked: RepeatedAsked): Promise<readonly Repeated[]> {
  if (!actor.duties.has('reviewer') && !actor.duties.has('operator'))
    throw new DaypassError('not_allowed', 'Only reviewers and operators may see this report.');
  const { since, times, of, only = false, service = null, limit = 100 } = asked;
  const { rows } = await pool.query<Row>(REPORT, [
    new Date(since),
    times,
    of,
    only,
    service,
    Math.min(Math.max(limit, 1), MOST),
  ]);
  return rows.map((row) => ({
    ...row,
    first: row.first.toISOString(),
    last: row.last.toISOString(),
    hint: hintOf(row),
  }));
}

interface Row {
  readonly who: string;
  readonly service: string;
  readonly role: string;
  readonly only: string[] | null;
  readonly requests: number;
  readonly people: number;
  readonly first: Date;
  readonly last: Date;
}

function hintOf({ who, service, role, only, requests, people }: Row): string {
  const narrower = only === null ? role : `a role of only these rules of ${role}`;
  const whom = people > 1 ? `${people} people of ${who}` : who;
  return `${requests} requests of ${whom}: consider ${narrower} in pre_approved of ${service}, or a role made for this task.`;
}
