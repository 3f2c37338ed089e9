import type { Person } from '../identity/people.js';
import { hasOtherLane } from './lanes.js';
import { type Allowed, type Narrowing, narrowest } from './narrow.js';
import { type Nda, ndaBound, ndaFor } from './nda.js';
import type { RequestsParts } from './parts.js';
import type { Bound } from './period.js';
import { accountBound, answeringFor, openPerson, type Persons, sponsorNow } from './persons.js';
import { approvalsNeeded, type Requestable } from './policy.js';
import { approvalOf, type HeldRequest } from './request.js';
import { checkStanding, stillRequestable } from './standing.js';
import type { Transaction } from './transact.js';

/** What a request comes to by the policy, the people and the NDA of this moment. */
export interface Judged {
  readonly service: Requestable;
  readonly allowed: Allowed;
  readonly person: Person;
  readonly sponsor: string | null;
  readonly nda: Nda | null;
  /** The ends of account and NDA. */
  readonly bounds: readonly Bound[];
}

/**
 * Judges a held request anew: at every decision and every activation.
 * @param more - what is about to be approved beside what was
 * @throws DaypassError `limits_changed`, `account_ended`, `not_allowed`, `unknown_nda`, `nda_not_valid`, `unknown_rule`
 */
export async function judgeNow(
  tx: Transaction,
  { policies }: RequestsParts,
  request: HeldRequest,
  persons: Persons,
  now: number,
  more: readonly Narrowing[] = [],
): Promise<Judged> {
  const service = stillRequestable(policies, request.service);
  const before = await approvalsOf(tx, request.id);
  const allowed = narrowest(request, [...before, ...more], service);
  checkStanding(request, allowed, service, now);
  const person = openPerson(persons, request.principal, now);
  const sponsor = sponsorNow(persons, person, request.sponsor, now);
  const nda = request.nda === null ? null : await ndaFor(tx, person.subject, request.nda, now);
  const bounds = [...accountBound(person), ...(nda === null ? [] : [ndaBound(nda)])];
  return { service, allowed, person, sponsor, nda, bounds };
}

/** How many approvals it takes by now, and how many of them the owners of today have given. */
export async function approvalsAt(
  tx: Transaction,
  { policies }: RequestsParts,
  request: HeldRequest,
  { service, person }: Judged,
  span: readonly [number, number],
  now: number,
): Promise<{ readonly needed: number; readonly given: number; readonly otherLane: boolean }> {
  const { id, principal, grant, role, kind } = request;
  const lane = { principal, request: id, grant: grant?.id ?? null, lane: service.policy.lane, span };
  const otherLane = await hasOtherLane(tx, policies, lane, now);
  const needed = approvalsNeeded(service, role, kind === 'break_glass', otherLane);
  const [row] = await tx.ask(
    `select count(*) as given from approvals
     where request_id = $1 and outcome = 'approve' and owner = $2 and approver <> all($3)
       and not exists (select from people p where p.subject = approver and p.kind = 'contractor' and p.sponsor = any($3))`,
    [id, service.policy.owner, [principal, ...answeringFor(request, person)]],
  );
  return { needed, given: Number(row?.given ?? 0), otherLane };
}

/** From when until when the grant of a request could be in force at most. */
export function spanOf(request: HeldRequest, allowed: Allowed): readonly [number, number] {
  const last = request.clock === 'first_use' ? request.endsAt : request.startsAt;
  return [request.startsAt, last + allowed.seconds * 1000];
}

async function approvalsOf(tx: Transaction, id: string): Promise<readonly Narrowing[]> {
  const rows = await tx.ask(`select * from approvals where request_id = $1 and outcome = 'approve' order by seq`, [id]);
  return rows.map(approvalOf);
}
