import { DaypassError } from '../errors.js';
import { MAX_GROUP, MAX_GROUPS } from '../grant/claims.js';
import type { Grant } from '../grant/grant.js';
import type { Actor } from '../identity/actor.js';
import type { Person } from '../identity/people.js';
import { revokeGrant } from './grants.js';
import { approvalsAt, type Judged, judgeNow, spanOf } from './judge.js';
import { acknowledge } from './nda.js';
import type { RequestsParts } from './parts.js';
import { floor, wordTime } from './period.js';
import { holdPeople, personActing } from './persons.js';
import type { HeldRequest } from './request.js';
import { holdRequest, impossible, moveRequest, readRequest, recordAct, reviewAnew } from './rows.js';
import type { Outcome, Transaction } from './transact.js';

/** A grant with the handle to give away, and the request it came from. */
export interface Activated {
  readonly request: HeldRequest;
  readonly grant: Grant;
  readonly handle: string;
}

/** An activation under way. */
interface Activating {
  readonly tx: Transaction;
  readonly parts: RequestsParts;
  readonly request: HeldRequest;
  readonly judged: Judged;
  /** The door by which the requester came. */
  readonly via: Actor['via'];
  readonly now: number;
}

/**
 * Makes the grant of an approved request, for the requester alone. Everything is judged again at this moment. An activated one
 * gets a new handle: the same end, and the former handle ends.
 * @throws DaypassError `not_yours`, `not_approved`, `too_early`, `too_late`, `account_ended`, `not_allowed`, `limits_changed`,
 * `nda_not_valid`, `not_acknowledged`; `second_approval_needed`, and then the request waits for approvals again
 */
export async function activateRequest(
  tx: Transaction,
  parts: RequestsParts,
  actor: Actor,
  id: string,
  acknowledged: string | undefined,
  now: number,
): Promise<Outcome<Activated>> {
  const hint = 'The handle is given to the person who asked, over their own login.';
  const { subject, request } = await holdOwn(tx, actor, id, now, hint);
  if (request.state !== 'approved' && request.state !== 'activated') throw notActivatable(request);
  const persons = await holdPeople(tx, [subject, request.sponsor]);
  const judged = await judgeNow(tx, parts, request, persons, now);
  const activating = { tx, parts, request, judged, via: actor.via, now };
  if (judged.nda !== null) await acknowledge(tx, judged.nda, id, acknowledged, now);
  return request.state === 'activated' ? again(activating) : first(activating);
}

/**
 * A request that its holder acts on, locked until the transaction ends.
 * @param hint - what the operator of the socket, who is nobody's account, does instead
 * @throws DaypassError `not_allowed`, `unknown_request`, `not_yours`
 */
export async function holdOwn(
  tx: Transaction,
  actor: Actor,
  id: string,
  now: number,
  hint: string,
): Promise<{ readonly subject: string; readonly request: HeldRequest }> {
  const subject = personActing(actor, hint);
  const request = await holdRequest(tx, id, now);
  checkHolder(request, subject);
  return { subject, request };
}

/** @throws DaypassError `not_yours` */
function checkHolder(request: HeldRequest, subject: string): void {
  if (request.principal === subject) return;
  throw new DaypassError('not_yours', 'This request is somebody else’s.');
}

/** What it takes by now, and what of it there is. */
function approvalsNow({ tx, parts, request, judged, now }: Activating) {
  return approvalsAt(tx, parts, request, judged, spanOf(request, judged.allowed), now);
}

async function first(activating: Activating): Promise<Outcome<Activated>> {
  const { tx, parts, request, judged, via, now } = activating;
  const [begins, ends] = termOf(activating);
  const span = [begins, ends] as const;
  const { needed, given, otherLane } = await approvalsNow(activating);
  if (given < needed) return reopen(activating, needed, given);
  const issued = await parts.grants.issue(askedGrant(activating, span));
  const { grant } = issued;
  tx.onFailure(() =>
    revokeGrant(parts.grants, grant.id, { by: request.principal, via, reason: 'the activation failed' }),
  );
  const changes = { grant_id: grant.id, activated_at: new Date(now), needed, ...reviewAnew(request, now) };
  await moveRequest(tx, request, 'activate', changes);
  const judgement = { needed, otherLane, policy: judged.service.policy.version };
  const detail = { grant: grant.id, expiresAt: new Date(grant.expiresAt).toISOString(), again: false, ...judgement };
  await recordAct(tx, request.id, { act: 'activate', by: request.principal, reason: request.task, at: now, detail });
  await tellEmergency(activating, grant.id);
  return { value: { request: await readRequest(tx, request.id, now), ...issued }, detail };
}

async function again(activating: Activating): Promise<Outcome<Activated>> {
  const { tx, parts, request, judged, via, now } = activating;
  const former = request.grant;
  if (former === null) throw impossible('revoked', 'activate');
  const { needed, given, otherLane } = await approvalsNow(activating);
  // Other lanes were judged when the access began: a new handle for it adds none.
  if (given < needed - (otherLane ? 1 : 0)) {
    const message = `The policy asks for ${needed} approvals by now, and ${given} were given: there is no new handle for this grant.`;
    throw new DaypassError('second_approval_needed', message, {
      hint: 'Ask anew; the former handle works until its end.',
    });
  }
  const act = { by: request.principal, via, reason: 'activated again, for a new handle' };
  const issued = await parts.grants.replace(former.id, act);
  const { grant } = issued;
  tx.onFailure(() =>
    revokeGrant(parts.grants, grant.id, { by: request.principal, via, reason: 'the activation failed' }),
  );
  await moveRequest(tx, request, 'activate', { grant_id: grant.id, ...reviewAnew(request, now) });
  const judgement = { needed, otherLane, policy: judged.service.policy.version };
  const detail = { grant: grant.id, former: former.id, again: true, ...judgement };
  await recordAct(tx, request.id, { act: 'activate', by: request.principal, reason: act.reason, at: now, detail });
  await tellEmergency(activating, grant.id);
  return { value: { request: await readRequest(tx, request.id, now), ...issued }, detail };
}

/** Nobody agreed to an emergency: it is told of with its beginning, or it does not begin. */
async function tellEmergency({ tx, parts, request, now }: Activating, grant: string): Promise<void> {
  const { id, kind, principal, service, role, task } = request;
  if (kind !== 'break_glass') return;
  await parts.begun(tx.client, { request: id, principal, service, role, reason: task, grant, at: now });
}

/** Access in another lane came in between, or the policy asks for more by now: the request waits again. */
async function reopen(
  { tx, parts, request, now }: Activating,
  needed: number,
  given: number,
): Promise<Outcome<Activated>> {
  const within = (parts.policies.get(request.service)?.access?.decideWithinSeconds ?? 0) * 1000;
  const lastUse = request.clock === 'first_use' ? request.endsAt : spanOfAsked(request);
  const decideBy = new Date(Math.min(now + within, lastUse));
  await moveRequest(tx, request, 'reopen', { needed, decide_by: decideBy, decided_at: null });
  const reason = 'more approvals are needed by now';
  await recordAct(tx, request.id, { act: 'reopen', by: request.principal, reason, at: now, detail: { needed, given } });
  const message = `It takes ${needed} approvals by now, and ${given} were given: there is access in another lane at the same time, or the policy changed.`;
  const hint = `The request waits for ${needed - given} more until ${wordTime(decideBy.getTime())}.`;
  return { refused: new DaypassError('second_approval_needed', message, { hint }) };
}

function spanOfAsked({ startsAt, seconds, allowedSeconds }: HeldRequest): number {
  return startsAt + (allowedSeconds ?? seconds) * 1000;
}

/**
 * From when until when the grant is: never beyond what was approved, nor the ends of account and NDA.
 * @throws DaypassError `too_early`, `too_late`, `account_ended`, `nda_not_valid`
 */
function termOf({ request, judged, now }: Activating): readonly [number, number] {
  const { startsAt, endsAt, clock } = request;
  const lasts = judged.allowed.seconds * 1000;
  if (clock === 'first_use' && now < startsAt) {
    throw new DaypassError('too_early', `This access begins at ${wordTime(startsAt)}.`, { hint: 'Activate it then.' });
  }
  if (clock === 'first_use' && !(now < endsAt))
    throw new DaypassError('too_late', `This access could be begun until ${wordTime(endsAt)}.`, { hint: 'Ask anew.' });
  const begins = Math.max(startsAt, floor(now));
  const agreed = clock === 'first_use' ? begins + lasts : startsAt + lasts;
  const ends = floor(Math.min(agreed, ...judged.bounds.map(({ until }) => until)));
  if (begins < ends) return [begins, ends];
  const bound = judged.bounds.find(({ until }) => floor(until) <= ends);
  if (agreed > ends && bound !== undefined)
    throw new DaypassError(bound.code, `${bound.what} ends before this access begins.`, {
      hint: `Do this first: ${bound.mend}.`,
    });
  throw new DaypassError('too_late', 'The time of this access has passed.', { hint: 'Ask anew.' });
}

function askedGrant({ request, judged, via }: Activating, [begins, ends]: readonly [number, number]) {
  const { allowed, person, sponsor, nda } = judged;
  const groups = groupsTold(person);
  return {
    ...{ principal: person.subject, service: request.service, role: allowed.role, groups },
    ...{ by: person.subject, via },
    // An employee answers for themselves.
    ...{ sponsor: sponsor ?? person.subject, reason: request.task, request: request.id },
    ...{ notBefore: begins, durationSeconds: (ends - begins) / 1000 },
    ...(nda === null ? {} : { nda: nda.id }),
    ...(request.hours === null ? {} : { window: request.hours }),
    ...(allowed.only === null ? {} : { only: allowed.only }),
  };
}

/** The groups that services are told of somebody: as many as a grant names. */
export function groupsTold({ groups }: Pick<Person, 'groups'>): readonly string[] {
  return groups.filter((group) => group.length <= MAX_GROUP).slice(0, MAX_GROUPS);
}

function notActivatable(request: HeldRequest): DaypassError {
  if (request.state !== 'expired') return impossible(request.state, 'activate');
  return new DaypassError('too_late', 'The time of this access has passed.', { hint: 'Ask anew.' });
}
