import { wordSeconds } from '../config/duration.js';
import { DaypassError } from '../errors.js';
import type { Actor } from '../identity/actor.js';
import type { Row } from '../identity/ask.js';
import { holdOwn } from './activate.js';
import { type RevokedGrant, revokeGrant } from './grants.js';
import { approvalsAt, judgeNow } from './judge.js';
import { ownerOf, type RequestsParts } from './parts.js';
import { checkSeconds, wordTime } from './period.js';
import { checkOwner, holdPeople, personActing } from './persons.js';
import { longest } from './policy.js';
import type { HeldRequest } from './request.js';
import { changeRequest, holdRequest, impossible, moveRequest, readRequest, recordAct, reviewAnew } from './rows.js';
import { isOpenState } from './state.js';
import type { Outcome, Transaction } from './transact.js';

/** Takes a request back before it was activated. @throws DaypassError `not_yours`, `already_decided` */
export async function withdrawRequest(
  tx: Transaction,
  actor: Actor,
  id: string,
  reason: string,
  now: number,
): Promise<Outcome<HeldRequest>> {
  const { subject, request } = await holdOwn(tx, actor, id, now, 'Operators revoke it.');
  if (request.state === 'activated')
    throw impossible('activated', 'withdraw', 'Hand it back instead (daypass return).');
  if (!isOpenState(request.state)) throw impossible(request.state, 'withdraw');
  await moveRequest(tx, request, 'withdraw', { over_at: new Date(now) });
  await recordAct(tx, id, { act: 'withdraw', by: subject, reason, at: now });
  return { value: await readRequest(tx, id, now) };
}

/** Ends a grant early, by its holder. @throws DaypassError `not_yours`, `not_approved` */
export async function giveBackRequest(
  tx: Transaction,
  { grants }: RequestsParts,
  actor: Actor,
  id: string,
  reason: string,
  now: number,
): Promise<Outcome<HeldRequest>> {
  const { subject, request } = await holdOwn(tx, actor, id, now, 'Operators revoke it.');
  if (request.state !== 'activated' || request.grant === null) throw impossible(request.state, 'return');
  const { but } = await revokeGrant(grants, request.grant.id, { by: subject, via: actor.via, reason });
  await moveRequest(tx, request, 'return', { over_at: new Date(now) });
  await recordAct(tx, id, { act: 'return', by: subject, reason, at: now, detail: { grant: request.grant.id } });
  return { value: await readRequest(tx, id, now), but };
}

/**
 * Ends a request and its grant for good. The grant first, while the request is held: whatever fails afterwards, it has ended.
 * @param revoked - told as soon as the grant has ended
 * @throws DaypassError `not_allowed`, `already_decided`
 */
export async function revokeRequest(
  tx: Transaction,
  parts: RequestsParts,
  actor: Actor,
  id: string,
  reason: string,
  now: number,
  revoked: (request: HeldRequest, grant: RevokedGrant) => void,
): Promise<Outcome<HeldRequest>> {
  const request = await holdRequest(tx, id, now);
  await checkMayRevoke(tx, actor, ownerOf(parts, request), now);
  if (request.stored === 'revoked') return { nothing: request };
  if (!isOpenState(request.stored)) throw impossible(request.state, 'revoke', 'There is nothing to revoke.');
  const act = { by: actor.subject, via: actor.via, reason };
  const ended = request.grant === null ? undefined : await revokeGrant(parts.grants, request.grant.id, act);
  if (ended !== undefined) revoked(request, ended);
  await moveRequest(tx, request, 'revoke', { over_at: new Date(now) });
  const detail = { was: request.state, ...(request.grant === null ? {} : { grant: request.grant.id }) };
  await recordAct(tx, id, { act: 'revoke', by: actor.subject, reason, at: now, detail });
  return { value: await readRequest(tx, id, now), detail, but: ended?.but };
}

/** The owner's group, and operators. @throws DaypassError `not_allowed`, `unknown_person`, `account_ended` */
async function checkMayRevoke(tx: Transaction, actor: Actor, owner: string, now: number): Promise<void> {
  if (actor.duties.has('operator')) return;
  checkOwner(await holdPeople(tx, [actor.subject]), actor.subject, owner, now);
}

/**
 * Moves the end of a grant, by its holder: within the policy's count and total, and never beyond account and NDA.
 * @throws DaypassError `not_yours`, `not_approved`, `duration_exceeds_policy`, `account_ended`, `nda_not_valid`,
 * `second_approval_needed`, and what `GrantAuthority.renew` throws
 */
export async function renewRequest(
  tx: Transaction,
  parts: RequestsParts,
  actor: Actor,
  id: string,
  { seconds, reason }: { readonly seconds: number; readonly reason: string },
  now: number,
): Promise<Outcome<HeldRequest>> {
  const { subject, request } = await holdOwn(tx, actor, id, now, 'Operators renew the grant itself.');
  if (request.state !== 'activated' || request.grant === null) throw impossible(request.state, 'return');
  const persons = await holdPeople(tx, [subject, request.sponsor]);
  const judged = await judgeNow(tx, parts, request, persons, now);
  checkSeconds(seconds, longest(judged.service, request.kind === 'break_glass'), request.service);
  checkShortened(seconds, { seconds: request.seconds, allowed_seconds: judged.allowed.seconds });
  const { id: grant, expiresAt } = request.grant;
  const until = expiresAt + seconds * 1000;
  const bound = judged.bounds.toSorted((a, b) => a.until - b.until)[0];
  if (bound !== undefined && until > bound.until) throw beyond(bound, expiresAt);
  const { needed, given, otherLane } = await approvalsAt(tx, parts, request, judged, [expiresAt, until], now);
  if (given < needed) {
    const message = `In this time there is access in another lane, or the policy changed: it takes ${needed} approvals, and ${given} were given.`;
    throw new DaypassError('second_approval_needed', message, { hint: 'Ask for this time in a request of its own.' });
  }
  const latestEnd = bound === undefined ? {} : { latestEnd: bound.until };
  const who = { by: subject, via: actor.via };
  await changeRequest(tx, id, reviewAnew(request, now));
  const renewed = await parts.grants.renew(grant, { durationSeconds: seconds, ...who, reason, ...latestEnd });
  const judgement = { needed, otherLane, policy: judged.service.policy.version };
  const ends = new Date(renewed.expiresAt).toISOString();
  const detail = { grant, seconds, expiresAt: ends, renewals: renewed.renewals, ...judgement };
  await recordAct(tx, id, { act: 'renew', by: subject, reason, at: now, detail });
  return { value: await readRequest(tx, id, now), detail };
}

/** An owner's look at an emergency afterwards. @throws DaypassError `own_request`, `not_allowed`, `already_decided` */
export async function reviewRequest(
  tx: Transaction,
  parts: RequestsParts,
  actor: Actor,
  id: string,
  comment: string,
  now: number,
): Promise<Outcome<HeldRequest>> {
  const subject = personActing(actor, 'Log in: a review is a person’s, who can be asked about it.');
  const request = await holdRequest(tx, id, now);
  if (request.principal === subject) throw new DaypassError('own_request', 'Nobody reviews their own emergency.');
  checkOwner(await holdPeople(tx, [subject]), subject, ownerOf(parts, request), now);
  if (request.reviewDue === null) throw new DaypassError('not_allowed', 'Only break-glass access is reviewed.');
  if (request.reviewedAt !== null) {
    throw new DaypassError(
      'already_decided',
      `${request.reviewedBy} has reviewed it at ${wordTime(request.reviewedAt)}.`,
    );
  }
  await changeRequest(tx, id, { reviewed_at: new Date(now), reviewed_by: subject, review: comment });
  await recordAct(tx, id, { act: 'review', by: subject, reason: comment, at: now });
  return { value: await readRequest(tx, id, now) };
}

/**
 * Whoever approved less time than was asked for meant no more of it at a time.
 * @param request - its row, or the like
 * @throws DaypassError `second_approval_needed`
 */
export function checkShortened(renewal: number, request: Row): void {
  const asked = Number(request.seconds);
  const allowed = Number(request.allowed_seconds ?? asked);
  if (allowed < asked && renewal > allowed) throw shortened(allowed, asked);
}

function shortened(allowed: number, asked: number): DaypassError {
  const message = `${wordSeconds(allowed)} of the ${wordSeconds(asked)} that were asked for were approved: no renewal is longer.`;
  const hint = `Renew by ${wordSeconds(allowed)} or less, or ask for more time in a request of its own.`;
  return new DaypassError('second_approval_needed', message, { hint });
}

function beyond(
  { code, what, until, mend }: { code: string; what: string; until: number; mend: string },
  from: number,
) {
  const left = Math.floor((until - from) / 1000);
  const hint = left >= 1 ? `Renew by ${wordSeconds(left)} or less, or ${mend}.` : `Do this first: ${mend}.`;
  return new DaypassError(code, `${what} ends ${wordTime(until)}, before the renewed access would.`, { hint });
}
