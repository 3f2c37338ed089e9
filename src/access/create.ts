import { DaypassError } from '../errors.js';
import { opensAt, readWindow } from '../grant/window.js';
import type { Actor } from '../identity/actor.js';
import { uuid7 } from '../recording/uuid7.js';
import { hasOtherLane } from './lanes.js';
import { ndaBound, ndaFor } from './nda.js';
import type { RequestsParts } from './parts.js';
import { type Period, readPeriod } from './period.js';
import { accountBound, holdPeople, openPerson, personActing, sponsorOf } from './persons.js';
import { approvalsNeeded, longest, type Requestable, requestable, roleAsked } from './policy.js';
import type { HeldRequest, Kind, RequestAsked } from './request.js';
import { readRequest, recordAct, reviewDue } from './rows.js';
import { readTask } from './task.js';
import type { Outcome, Transaction } from './transact.js';

const DAY_MS = 86_400_000;
/** How many requests of one person may wait for an answer. */
const MOST_UNANSWERED = 20;

/** What a request will be, before it is written. */
interface Plan {
  readonly id: string;
  readonly actor: Actor;
  readonly service: Requestable;
  readonly role: string;
  readonly task: string;
  readonly breakGlass: boolean;
  readonly period: Period;
  readonly hours: string | null;
  readonly sponsor: string | null;
  readonly nda: string | null;
  readonly now: number;
}

/** The id of a request to be, so that its refusal has one too. */
export function newRequestId(now: number): string {
  return uuid7(now);
}

/**
 * Makes a request of the actor's own. One that needs no approval is approved at once.
 * @throws DaypassError for whatever the policy, the account or the task does not allow, with the limit and the mend
 */
export async function createRequest(
  tx: Transaction,
  parts: RequestsParts,
  actor: Actor,
  asked: RequestAsked,
  id: string,
  now: number,
): Promise<Outcome<HeldRequest>> {
  const plan = await planned(tx, parts, actor, asked, id, now);
  const { period, service, role, breakGlass } = plan;
  const span = [period.startsAt, lastEnd(period, service)] as const;
  const lane = { principal: actor.subject, request: id, grant: null, lane: service.policy.lane, span };
  const otherLane = await hasOtherLane(tx, parts.policies, lane, now);
  const needed = approvalsNeeded(service, role, breakGlass, otherLane);
  if (needed > 0) await checkUnanswered(tx, actor.subject);
  await insert(tx, plan, needed);
  const detail = { service: service.policy.name, role, seconds: period.seconds, needed, kind: kindOf(plan), otherLane };
  await recordAct(tx, id, { act: 'create', by: actor.subject, reason: plan.task, at: now, detail });
  return { value: await readRequest(tx, id, now), detail };
}

async function planned(
  tx: Transaction,
  { policies }: RequestsParts,
  actor: Actor,
  asked: RequestAsked,
  id: string,
  now: number,
): Promise<Plan> {
  const subject = personActing(actor, 'Log in as the person who is to have access; operators issue grants.');
  const breakGlass = asked.breakGlass === true;
  const service = requestable(policies, asked.service);
  const role = roleAsked(service, asked.role, breakGlass);
  const task = readTask(asked.task, service.access.task);
  const persons = await holdPeople(tx, [subject, asked.sponsor ?? null]);
  const person = openPerson(persons, subject, now);
  const sponsor = sponsorOf(persons, person, asked.sponsor ?? null, now);
  const wanted = service.access.ndaRequired || asked.nda !== undefined;
  const nda = wanted ? await ndaFor(tx, subject, asked.nda ?? null, now) : null;
  const bounds = [...accountBound(person), ...(nda === null ? [] : [ndaBound(nda)])];
  const { clock, maxAheadSeconds } = service.access;
  const limits = {
    service: asked.service,
    clock,
    longestSeconds: longest(service, breakGlass),
    maxAheadSeconds,
    bounds,
  };
  if (breakGlass && asked.from !== undefined && asked.from > now) {
    throw new DaypassError('invalid_period', 'An emergency begins now.', { hint: 'Leave the beginning out.' });
  }
  if (breakGlass && asked.to !== undefined && asked.to > now + DAY_MS) {
    const hint = 'Leave the end out.';
    throw new DaypassError('invalid_period', 'An emergency is not kept ready for more than a day.', { hint });
  }
  const period = readPeriod(asked, limits, now);
  const hours = readHours(asked.hours, [Math.max(now, period.startsAt), lastEnd(period, service)]);
  return { id, actor, service, role, task, breakGlass, period, hours, sponsor, nda: nda?.id ?? null, now };
}

/** Approvers read each of them. The account is held: no other request of it is counted meanwhile. @throws DaypassError `too_many_requests` */
async function checkUnanswered(tx: Transaction, subject: string): Promise<void> {
  const pending = await tx.ask(`select from access_requests where principal = $1 and state = 'pending' limit $2`, [
    ...[subject, MOST_UNANSWERED],
  ]);
  if (pending.length < MOST_UNANSWERED) return;
  const message = `${MOST_UNANSWERED} requests of yours wait for an answer, which is the most.`;
  throw new DaypassError('too_many_requests', message, { hint: 'Withdraw what is not needed (daypass withdraw).' });
}

/** @throws DaypassError `invalid_hours` */
function readHours(text: string | undefined, [from, until]: readonly [number, number]): string | null {
  if (text === undefined) return null;
  const read = readWindow(text);
  if (!read.ok) throw new DaypassError('invalid_hours', read.message, { hint: read.hint });
  if (opensAt(read.window, from) < until) return read.window.text;
  throw new DaypassError('invalid_hours', `The hours ${read.window.text} never come during this access.`, {
    hint: 'Choose other hours, or a time that they are part of.',
  });
}

function lastEnd({ endsAt, seconds }: Period, { access }: Requestable): number {
  return access.clock === 'first_use' ? endsAt + seconds * 1000 : endsAt;
}

function kindOf({ breakGlass, service, role }: Plan): Kind {
  if (breakGlass) return 'break_glass';
  return service.access.preApproved.includes(role) ? 'pre_approved' : 'usual';
}

async function insert(tx: Transaction, plan: Plan, needed: number): Promise<void> {
  const { id, actor, service, role, task, period, now } = plan;
  const { policy, access } = service;
  const lastUse = access.clock === 'first_use' ? period.endsAt : period.startsAt + period.seconds * 1000;
  const decideBy = Math.min(now + access.decideWithinSeconds * 1000, lastUse);
  const [approved, kind] = [needed === 0, kindOf(plan)];
  await tx.ask(
    `insert into access_requests (id, principal, service, role, task, kind, starts_at, ends_at, seconds, clock, hours, sponsor,
       nda, lane, owner, policy_version, needed, state, created_at, decide_by, decided_at, review_due)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
    [
      ...[id, actor.subject, policy.name, role, task, kind, new Date(period.startsAt), new Date(period.endsAt)],
      ...[period.seconds, access.clock, plan.hours, plan.sponsor, plan.nda, policy.lane, policy.owner, policy.version],
      ...[
        needed,
        approved ? 'approved' : 'pending',
        new Date(now),
        new Date(decideBy),
        approved ? new Date(now) : null,
      ],
      kind === 'break_glass' ? reviewDue(now) : null,
    ],
  );
}
