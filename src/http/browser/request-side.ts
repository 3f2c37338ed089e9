import type { Decided } from '../../access/decide.js';
import type { Ndas } from '../../access/ndas.js';
import type { PolicySource } from '../../access/policy.js';
import type { RequestDetail } from '../../access/request.js';
import type { Requests } from '../../access/requests.js';
import { isRequestId } from '../../access/rows.js';
import { sheetOf } from '../../access/sheet.js';
import { DaypassError } from '../../errors.js';
import { actingNow } from '../../identity/acting.js';
import type { Actor } from '../../identity/actor.js';
import type { Person } from '../../identity/people.js';
import { tellFault } from '../refusals/tell.js';
import { fieldOf, shortBody } from './form.js';
import { sendOn, sendPage, welcomePage } from './pages.js';
import { isProof, proofOf } from './proof.js';
import { type Answer, refusalOfFault, refuse } from './refusals.js';
import { type Filled, type Found, NOTHING, requestPage, undecidedNote } from './request-page.js';
import { loginOf, type Page, type Visit } from './visit.js';

/** What the page of a request asks: the very functions of the API, which judge, change and audit. */
export interface RequestDesk {
  readonly requests: Pick<Requests, 'get' | 'decide'>;
  readonly ndas: Pick<Ndas, 'list'>;
  readonly policies: PolicySource;
}

/** Somebody with an account at the page of a request. */
interface Asking {
  readonly visit: Visit;
  readonly desk: RequestDesk;
  readonly actor: Actor;
  /** The secret of their login. */
  readonly secret: string;
  readonly id: string;
}

const PLACE = /^(GET|POST) \/requests\/([^/]+)$/;
/** How often one person may ask. */
const OFTEN = { count: 120, seconds: 60 };
/** The form, all told. */
const LONGEST = 16 * 1024;
/** Of the newest NDAs of somebody, so many are looked through. */
const MOST_NDAS = 500;

/** The page where a request is decided about, when that is what is asked for. A look changes nothing. */
export function requestPageAt(asked: string): Page | undefined {
  const [, method, id] = PLACE.exec(asked) ?? [];
  if (id === undefined) return undefined;
  const answer = method === 'POST' ? decide : (asking: Asking) => show(asking, NOTHING);
  return (visit) => asPerson(visit, id, answer);
}

/** Whoever is not logged in is led through a login and back, to nothing but this very page. */
async function asPerson(visit: Visit, id: string, answer: (asking: Asking) => Promise<Answer>): Promise<Answer> {
  const { parts, secret } = visit;
  const { desk, access, rates, clock, monotonic } = parts;
  if (desk === undefined) return refuse.nothingHere();
  const login = await loginOf(visit);
  if (login === null || secret === null) return strange(visit, id);
  const wait = rates.take(`person ${login.principal}`, 'pages of requests', OFTEN, monotonic());
  if (wait > 0) return refuse.requestsTooOften(wait);
  try {
    const actor = await actingNow({ ...access, clock }, login.principal, 'browser');
    return await answer({ visit, desk, actor, secret, id });
  } catch (thrown) {
    const refusal = refusalOfFault(thrown);
    if (refusal !== null) return refusal;
    throw thrown;
  }
}

/** Whoever sent a form when their login was over is told that it decided nothing. */
async function strange({ parts, req, res, target }: Visit, id: string): Promise<Answer> {
  const leadsTo = isRequestId(id) ? `see the request ${id}` : undefined;
  const page = welcomePage(parts.access.directory !== null, target, leadsTo);
  if (req.method !== 'POST') return sendPage(res, page, [], 401);
  const body = await shortBody(req, LONGEST);
  if (!body.ok) return body.answer;
  const note = undecidedNote(filledIn(new URLSearchParams(body.text)));
  return sendPage(res, { ...page, title: `Not decided: ${page.title}`, body: note + page.body }, [], 401);
}

/** @param found - what is to be said of a decision that was not made, with what was written for it */
async function show(asking: Asking, filled: Filled, found: Found | null = null): Promise<Answer> {
  const { visit, desk, actor, secret, id } = asking;
  const request = await readRequest(asking);
  if (request === null) return refuse.nothingHere();
  const looked = { request, actor, persons: await personsOf(asking, request), nda: await ndaOf(asking, request) };
  const sheet = sheetOf(desk.policies, looked, visit.parts.clock.wall());
  const page = requestPage({ sheet, token: proofOf(secret, boundTo(id)), filled, found });
  return sendPage(visit.res, page, [], found?.status ?? 200);
}

async function decide(asking: Asking): Promise<Answer> {
  const { visit, desk, actor, secret, id } = asking;
  const body = await shortBody(visit.req, LONGEST);
  if (!body.ok) return body.answer;
  const form = new URLSearchParams(body.text);
  const filled = filledIn(form);
  if (!isProof(fieldOf(form, 'token'), secret, boundTo(id))) return again(asking, filled, OTHER_LOGIN);
  const decided = decidedBy(filled);
  if (decided === null) return again(asking, filled, NO_ANSWER);
  try {
    await desk.requests.decide(actor, id, decided);
  } catch (thrown) {
    const found = foundIn(thrown);
    if (found !== null) return show(asking, filled, found);
    visit.parts.log.error({ err: thrown, request: id }, 'a decision of a page could not be made');
    return refuse.notDecided();
  }
  visit.parts.log.info({ principal: actor.subject, request: id, outcome: decided.outcome }, 'decided on a page');
  return sendOn(visit.res, `/requests/${id}`);
}

/** Shows the page once more for a form that the desk never heard of, so that no line of the audit log tells of it. */
function again(asking: Asking, filled: Filled, found: Found): Promise<Answer> {
  const { parts, req } = asking.visit;
  const { status, message: detail } = found;
  tellFault(parts, req, { status, reason: 'bad_request', detail, rule: 'a form of this page and login' });
  return show(asking, filled, found);
}

/** A form of another request, or of another login of this browser, decides nothing here. */
function boundTo(id: string): readonly string[] {
  return ['request', id];
}

/** @returns null for one that is not there, or not theirs to see: nobody is told which */
async function readRequest({ desk, actor, id }: Asking): Promise<RequestDetail | null> {
  try {
    return await desk.requests.get(actor, id);
  } catch (thrown) {
    if (thrown instanceof DaypassError && thrown.code === 'unknown_request') return null;
    throw thrown;
  }
}

async function personsOf({ visit, actor }: Asking, { principal }: RequestDetail): Promise<ReadonlyMap<string, Person>> {
  const { people } = visit.parts.access;
  const found = await Promise.all([...new Set([actor.subject, principal])].map((subject) => people.find(subject)));
  return new Map(found.flatMap((person) => (person === null ? [] : [[person.subject, person] as const])));
}

async function ndaOf({ desk, actor }: Asking, { nda, principal: party }: RequestDetail) {
  if (nda === null) return undefined;
  const { ndas } = await desk.ndas.list(actor, { party, limit: MOST_NDAS });
  return ndas.find(({ id }) => id === nda);
}

function filledIn(form: URLSearchParams): Filled {
  return {
    answer: fieldOf(form, 'answer'),
    comment: lineOf(fieldOf(form, 'comment')),
    seconds: fieldOf(form, 'seconds'),
  };
}

/** Phones break lines for people: a sentence is one all the same. */
function lineOf(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, ' ').trim();
}

function decidedBy({ answer, comment, seconds }: Filled): Decided | null {
  if (answer === 'refuse') return { outcome: 'refuse', comment };
  if (answer !== 'approve' || !/^(?:[1-9]\d{0,8})?$/.test(seconds)) return null;
  return { outcome: 'approve', comment, seconds: seconds === '' ? undefined : Number(seconds) };
}

const OTHER_LOGIN: Found = {
  ...{ status: 403, message: 'This form was not made for the login that this browser has now.' },
  hint: 'Look whether you are who you want to be, and decide with the form below.',
};
const NO_ANSWER: Found = { status: 422, message: 'The form says neither yes nor no.', hint: 'Use the buttons below.' };

/** What may be wrong with a decision; anything else is a failure, after which nobody knows. */
const STATUS: Readonly<Record<string, number>> = {
  own_request: 403,
  not_allowed: 403,
  sponsored_by_you: 403,
  account_ended: 403,
  unknown_person: 403,
  unknown_request: 404,
  already_decided: 409,
  not_pending: 409,
  limits_changed: 409,
  too_late: 409,
  unknown_nda: 409,
  nda_not_valid: 409,
  unknown_role: 409,
  unknown_rule: 409,
  invalid_request: 422,
  invalid_period: 422,
  duration_exceeds_policy: 422,
};

function foundIn(thrown: unknown): Found | null {
  if (!(thrown instanceof DaypassError)) return null;
  const { code, message, hint } = thrown;
  const status = STATUS[code];
  return status === undefined ? null : { status, message, hint };
}
