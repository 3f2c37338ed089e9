import type { Actor } from '../identity/actor.js';
import { pageOf } from '../recording/page.js';
import { type RequestsParts, servicesOf } from './parts.js';
import { actOf, approvalOf, heldOf, REQUESTS, type RequestDetail, type RequestView, viewOf } from './request.js';
import { isRequestId, unknownRequest } from './rows.js';
import type { RequestState } from './state.js';

/** Which requests to list; only those that the actor may see. */
export interface RequestFilter {
  /** Only the actor's own. */
  readonly mine?: boolean;
  readonly state?: RequestState;
  readonly service?: string;
  readonly person?: string;
  /** Only those that the actor may decide about and has not. */
  readonly toDecide?: boolean;
  /** Only emergencies that nobody has reviewed. */
  readonly unreviewed?: boolean;
  /** 1 to 500; 100 unless told. */
  readonly limit?: number;
  /** Ids before this one: the next page. */
  readonly cursor?: string | null;
}

export interface RequestPage {
  readonly requests: readonly RequestView[];
  /** The cursor of the next page; null on the last. */
  readonly next: string | null;
}

const MOST = 500;

/** The requester, their sponsor, the owner's group, reviewers and operators may see a request. */
const VISIBLE = `($2::boolean or principal = $3 or sponsor = $3 or service = any($4) or owner = any($5)
  or principal in (select subject from people where people.sponsor = $3))`;

/** Those of `Transactor.ask`. */
type Ask = RequestsParts['transactor']['ask'];

function seer(parts: RequestsParts, actor: Actor): readonly unknown[] {
  const named = actor.via === 'socket' ? null : actor.subject;
  return [actor.duties.size > 0, named, servicesOf(parts, actor), actor.groups.map((group) => `group:${group}`)];
}

/** The newest first. @param now - milliseconds since the epoch */
export async function listRequests(
  ask: Ask,
  parts: RequestsParts,
  actor: Actor,
  filter: RequestFilter,
  now: number,
): Promise<RequestPage> {
  const limit = Math.min(Math.max(1, filter.limit ?? 100), MOST);
  const { mine = false, toDecide = false, unreviewed = false } = filter;
  const cursor = filter.cursor ?? null;
  if (cursor !== null && !isRequestId(cursor)) throw unknownRequest(cursor);
  const rows = await ask(
    `select * from ${REQUESTS} where ${VISIBLE}
       and (not $6::boolean or principal = $3) and ($7::text is null or stands = $7)
       and ($8::text is null or service = $8) and ($9::text is null or principal = $9)
       and (not $10::boolean or (stands = 'pending' and service = any($4) and principal <> $3
         and not exists (select from approvals a where a.request_id = request.id and a.approver = $3)
         and not exists (select from people p where p.subject = principal and p.kind = 'contractor'
           and $3 in (p.sponsor, request.sponsor))
         and not exists (select from people me left join people p on p.subject = principal and p.kind = 'contractor'
           where me.subject = $3 and me.kind = 'contractor' and (me.sponsor in (principal, p.sponsor)
             or p.subject is not null and me.sponsor = request.sponsor))))
       and (not $11::boolean or (review_due is not null and reviewed_at is null))
       and ($12::uuid is null or id < $12)
     order by id desc limit $13`,
    [
      ...[new Date(now), ...seer(parts, actor), mine, filter.state ?? null, filter.service ?? null],
      ...[filter.person ?? null, toDecide, unreviewed, cursor, limit + 1],
    ],
  );
  const { shown, next } = pageOf(rows.map(heldOf), limit, ({ id }) => id);
  return { requests: shown.map(viewOf), next };
}

/** One request with its approvals and acts. @throws DaypassError `unknown_request`, also for one the actor may not see */
export async function getRequest(
  ask: Ask,
  parts: RequestsParts,
  actor: Actor,
  id: string,
  now: number,
): Promise<RequestDetail> {
  if (!isRequestId(id)) throw unknownRequest(id);
  const values = [new Date(now), ...seer(parts, actor), id];
  const [row] = await ask(`select * from ${REQUESTS} where ${VISIBLE} and id = $6`, values);
  if (row === undefined) throw unknownRequest(id);
  const approvals = await ask('select * from approvals where request_id = $1 order by seq', [id]);
  const acts = await ask('select * from request_acts where request_id = $1 order by seq', [id]);
  return { ...viewOf(heldOf(row)), approvals: approvals.map(approvalOf), acts: acts.map(actOf) };
}
