import { DaypassError } from '../errors.js';
import { type HeldRequest, heldOf, REQUESTS } from './request.js';
import { after, type Move, type RequestState } from './state.js';
import type { Transaction } from './transact.js';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Columns of a request that an act may change. */
type Column =
  | 'needed'
  | 'decide_by'
  | 'decided_at'
  | 'allowed_role'
  | 'allowed_seconds'
  | 'allowed_only'
  | 'grant_id'
  | 'activated_at'
  | 'over_at'
  | 'review_due'
  | 'reviewed_at'
  | 'reviewed_by'
  | 'review';

export type Changes = Partial<Readonly<Record<Column, Date | string | number | readonly string[] | null>>>;

/** Whether a text has the form of a request's id. */
export function isRequestId(text: string): boolean {
  return UUID.test(text);
}

/**
 * Locks a request until the transaction ends: whatever else is done to it waits, and sees what was done here.
 * @throws DaypassError `unknown_request`
 */
export async function holdRequest(tx: Transaction, id: string, now: number): Promise<HeldRequest> {
  if (!isRequestId(id)) throw unknownRequest(id);
  await tx.ask('select 1 from access_requests where id = $1 for update', [id]);
  return readRequest(tx, id, now);
}

/** A request as the transaction sees it. @throws DaypassError `unknown_request` */
export async function readRequest(tx: Transaction, id: string, now: number): Promise<HeldRequest> {
  const [row] = await tx.ask(`select * from ${REQUESTS} where id = $2`, [new Date(now), id]);
  if (row === undefined) throw unknownRequest(id);
  return heldOf(row);
}

/** Moves a request that is held, and changes what goes with it. @throws DaypassError `not_pending`, `not_approved`, `already_decided` */
export async function moveRequest(tx: Transaction, request: HeldRequest, move: Move, changes: Changes): Promise<void> {
  const next = after(request.stored, move);
  if (next === null) throw impossible(request.state, move);
  await changeRequest(tx, request.id, changes);
  await tx.ask('update access_requests set state = $2 where id = $1', [request.id, next]);
}

export async function changeRequest(tx: Transaction, id: string, changes: Changes): Promise<void> {
  const columns = Object.entries(changes);
  if (columns.length === 0) return;
  const set = columns.map(([column], index) => `${column} = $${index + 2}`).join(', ');
  await tx.ask(`update access_requests set ${set} where id = $1`, [id, ...columns.map(([, value]) => value)]);
}

const REVIEW_WITHIN = 86_400_000;

/** Until when an emergency is to be reviewed. @param now - milliseconds since the epoch */
export function reviewDue(now: number): Date {
  return new Date(now + REVIEW_WITHIN);
}

/** An emergency that goes on is to be reviewed again: whoever looked at it did not see what comes now. */
export function reviewAnew({ kind, reviewedAt }: HeldRequest, now: number): Changes {
  if (kind !== 'break_glass' || reviewedAt === null) return {};
  return { review_due: reviewDue(now), reviewed_at: null, reviewed_by: null, review: null };
}

/** Writes down what happened to a request. */
export async function recordAct(
  tx: Transaction,
  id: string,
  { act, by, reason, at, detail = {} }: { act: string; by: string; reason: string; at: number; detail?: object },
): Promise<void> {
  await tx.ask('insert into request_acts (request_id, act, at, by, reason, detail) values ($1, $2, $3, $4, $5, $6)', [
    ...[id, act, new Date(at), by, reason],
    JSON.stringify(detail),
  ]);
}

export function unknownRequest(id: string): DaypassError {
  return new DaypassError('unknown_request', `There is no request ${JSON.stringify(id.slice(0, 64))}.`);
}

const CODES: Readonly<Record<Move, string>> = {
  agree: 'not_pending',
  refuse: 'not_pending',
  lapse: 'not_pending',
  withdraw: 'already_decided',
  reopen: 'not_approved',
  activate: 'not_approved',
  return: 'not_approved',
  revoke: 'already_decided',
};

/** Where a request stands, in words that follow `The request`. */
export const STANDS: Readonly<Record<RequestState, string>> = {
  pending: 'waits for approvals',
  approved: 'is approved and not activated yet',
  activated: 'is activated',
  refused: 'was refused',
  withdrawn: 'was withdrawn',
  lapsed: 'was not answered in time',
  returned: 'was handed back',
  revoked: 'was revoked',
  expired: 'is over: its time has passed',
};

/** That a request stands where this cannot be done, with what it is. */
export function impossible(state: RequestState, move: Move, hint?: string): DaypassError {
  const decided = move === 'agree' || move === 'refuse' ? ['approved', 'activated', 'refused'].includes(state) : false;
  const code = decided ? 'already_decided' : CODES[move];
  const over = isOver(state) ? 'Ask anew.' : undefined;
  const mend = hint ?? over;
  return new DaypassError(code, `The request ${STANDS[state]}.`, mend === undefined ? {} : { hint: mend });
}

function isOver(state: RequestState): boolean {
  return state !== 'pending' && state !== 'approved' && state !== 'activated';
}
