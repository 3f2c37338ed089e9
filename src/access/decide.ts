import { DaypassError } from '../errors.js';
import type { Actor } from '../identity/actor.js';
import { approvalsAt, judgeNow, spanOf } from './judge.js';
import { type Allowed, checkNarrowing, type Narrowing } from './narrow.js';
import { ownerOf, type RequestsParts } from './parts.js';
import { checkImpartial, checkOwner, handsOf, holdPeople, type Persons, personActing } from './persons.js';
import type { HeldRequest, RequestView } from './request.js';
import { changeRequest, holdRequest, impossible, moveRequest, readRequest, recordAct } from './rows.js';
import { stillRequestable } from './standing.js';
import type { Outcome, Transaction } from './transact.js';

/** What an approver decides. */
export interface Decided {
  readonly outcome: 'approve' | 'refuse';
  readonly comment: string;
  /** A role that the asked one builds on. */
  readonly role?: string | undefined;
  /** A shorter time. */
  readonly seconds?: number | undefined;
  /** The texts of the rules that remain. */
  readonly only?: readonly string[] | undefined;
}

/** A decision under way: everything it is judged by is held until the transaction ends. */
interface Deciding {
  readonly tx: Transaction;
  readonly parts: RequestsParts;
  readonly request: HeldRequest;
  readonly persons: Persons;
  readonly approver: string;
  readonly owner: string;
  readonly comment: string;
  readonly now: number;
}

/**
 * One decision of one approver. A refusal ends the request; the last approval that is needed approves it.
 * @throws DaypassError `own_request`, `not_allowed`, `sponsored_by_you`, `already_decided`, `not_pending`, `limits_changed`, …
 */
export async function decideRequest(
  tx: Transaction,
  parts: RequestsParts,
  actor: Actor,
  id: string,
  decided: Decided & { readonly comment: string },
  now: number,
): Promise<Outcome<HeldRequest>> {
  const approver = personActing(actor, 'Log in: a decision is a person’s, who can be asked about it.');
  const request = await holdRequest(tx, id, now);
  const persons = await holdPeople(tx, [request.principal, request.sponsor, approver]);
  const owner = ownerOf(parts, request);
  checkDecider(request, persons, approver, owner, now);
  // One that is late is left to whoever lapses them: this gateway's clock may be wrong.
  if (request.state !== 'pending') throw impossible(request.state, 'agree');
  await checkFirst(tx, id, handsOf(persons, approver));
  const deciding = { tx, parts, request, persons, approver, owner, comment: decided.comment, now };
  return decided.outcome === 'refuse' ? refuse(deciding) : approve(deciding, decided);
}

/**
 * That somebody may decide about a request, as it stands.
 * @throws DaypassError `own_request`, `not_allowed`, `sponsored_by_you`, `unknown_person`, `account_ended`
 */
export function checkDecider(
  request: Pick<RequestView, 'principal' | 'sponsor'>,
  persons: Persons,
  approver: string,
  owner: string,
  now: number,
): void {
  if (request.principal === approver) throw new DaypassError('own_request', 'Nobody decides about their own request.');
  checkOwner(persons, approver, owner, now);
  checkImpartial(request, persons, approver);
}

/** What was not decided in time is over. @returns the request as it stands then */
export async function lapsed(tx: Transaction, request: HeldRequest, now: number): Promise<HeldRequest> {
  await moveRequest(tx, request, 'lapse', { over_at: new Date(now) });
  const reason = 'nobody decided in time';
  await recordAct(tx, request.id, { act: 'lapse', by: 'daypass', reason, at: now });
  return readRequest(tx, request.id, now);
}

async function refuse(deciding: Deciding): Promise<Outcome<HeldRequest>> {
  const { tx, request, approver, comment, now } = deciding;
  await insert(deciding, 'refuse', { role: null, seconds: null, only: null });
  await moveRequest(tx, request, 'refuse', { decided_at: new Date(now), over_at: new Date(now) });
  await recordAct(tx, request.id, { act: 'refuse', by: approver, reason: comment, at: now });
  return { value: await readRequest(tx, request.id, now) };
}

async function approve(deciding: Deciding, decided: Decided): Promise<Outcome<HeldRequest>> {
  const { tx, parts, request, persons, approver, comment, now } = deciding;
  const narrowing = { role: decided.role ?? null, seconds: decided.seconds ?? null, only: decided.only ?? null };
  const service = stillRequestable(parts.policies, request.service);
  if (service.policy.roles.has(request.role)) checkNarrowing(request, narrowing, service);
  const judged = await judgeNow(tx, parts, request, persons, now, [narrowing]);
  await insert(deciding, 'approve', narrowing);
  const span = spanOf(request, judged.allowed);
  if (!(now < span[1]))
    throw new DaypassError('too_late', 'Nothing would be left of the time.', { hint: 'Refuse it.' });
  const { needed, given, otherLane } = await approvalsAt(tx, parts, request, judged, span, now);
  await changeRequest(tx, request.id, { needed, ...allowedColumns(request, judged.allowed) });
  if (given >= needed) await moveRequest(tx, request, 'agree', { decided_at: new Date(now) });
  const detail = { ...narrowing, needed, given, otherLane };
  await recordAct(tx, request.id, { act: 'approve', by: approver, reason: comment, at: now, detail });
  return { value: await readRequest(tx, request.id, now), detail };
}

function allowedColumns(asked: { role: string; seconds: number }, { role, seconds, only }: Allowed) {
  return {
    allowed_role: role === asked.role ? null : role,
    allowed_seconds: seconds === asked.seconds ? null : seconds,
    allowed_only: only,
  };
}

/** Said to whoever has approved, and would do so once more. */
export const APPROVED_BY_YOU = 'You have approved this request already: the next approval is another’s.';

/** @param hands - the approver, and who answers for them */
async function checkFirst(tx: Transaction, id: string, hands: readonly string[]): Promise<void> {
  const before = await tx.ask(
    `select a.approver from approvals a left join people p on p.subject = a.approver and p.kind = 'contractor'
     where a.request_id = $1 and (a.approver = any($2) or p.sponsor = any($2)) order by a.seq limit 1`,
    [id, hands],
  );
  const approver = before[0]?.approver;
  if (approver === undefined) return;
  const message =
    approver === hands[0]
      ? APPROVED_BY_YOU
      : `${approver} has approved this request, and one of you answers for the other, or somebody for both: the next approval is another’s.`;
  throw new DaypassError('already_decided', message);
}

async function insert(
  { tx, request, approver, owner, comment, now }: Deciding,
  outcome: Decided['outcome'],
  { role, seconds, only }: Narrowing,
): Promise<void> {
  await tx.ask(
    `insert into approvals (request_id, approver, outcome, at, comment, owner, role, seconds, only_rules)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [request.id, approver, outcome, new Date(now), comment, owner, role, seconds, only],
  );
}
