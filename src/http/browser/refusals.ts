import { DaypassError } from '../../errors.js';
import { type Refusal, refusalFor } from '../refusals/deny.js';

/** What came of a request that is the gateway's own to answer: a refusal to say, or null when it was answered. */
export type Answer = Refusal | null;

const BEGIN_AGAIN = 'open the service again';

/** The refusals on the way of a browser's login. Each is made anew: none is an end of something in the record. */
export const refuse = {
  nothingHere: (): Refusal => ({ status: 404, reason: 'not_found', detail: 'There is nothing here.' }),
  /** @param allow - at least one */
  notAMethod: (allow: readonly string[]): Refusal => ({
    ...{ status: 405, reason: 'bad_request', rule: 'the methods of this address', allow },
    detail: `There is ${allow.join(' and ')} here.`,
  }),
  notBegunHere: (): Refusal => ({
    ...{ status: 400, reason: 'bad_request', rule: 'a login comes back to the browser that began it' },
    detail: 'This browser did not begin this login, or keeps no cookies.',
    hint: BEGIN_AGAIN,
  }),
  codeOver: (): Refusal => ({
    ...{ status: 400, reason: 'bad_request', rule: 'a code works once, for 30 s, in one browser' },
    detail: 'This login was used already, took too long, or was ended meanwhile.',
    hint: BEGIN_AGAIN,
  }),
  notLoggedIn: (): Refusal => ({
    ...{ status: 401, reason: 'not_logged_in', rule: 'a login' },
    detail: 'This browser is not logged in at the gateway.',
    hint: "log in at the gateway's own page, and run daypass login again",
  }),
  linkOver: (): Refusal => ({
    ...{ status: 401, reason: 'link_over', rule: 'a link works once, for 10 min' },
    detail: 'This login link was used already, or is too old.',
    hint: 'look whether you opened the whole link; else ask for a new one',
  }),
  tooSlow: (): Refusal => ({
    ...{ status: 408, reason: 'bad_request', rule: 'the form of a login within 5 s' },
    detail: 'The form of this login took too long to come.',
    hint: 'try again',
  }),
  notJson: (): Refusal => ({
    ...{ status: 415, reason: 'bad_request', rule: 'JSON of at most 16 KiB' },
    detail: 'This takes a JSON object.',
  }),
  tooLong: (): Refusal => ({
    ...{ status: 413, reason: 'bad_request', rule: 'JSON of at most 16 KiB' },
    detail: 'This is too long, or does not say how long it is.',
  }),
  noPasskeys: (): Refusal => ({
    ...{ status: 403, reason: 'login_not_fresh', rule: 'a login with a passkey' },
    detail: 'You are not logged in with a passkey.',
    hint: 'log in with one',
  }),
  /** @param hours - what is to be said of the hours of a grant that there is; null without one */
  noGrant: (service: string, hours: string | null): Refusal => ({
    ...(hours === null
      ? { status: 403, reason: 'unknown_grant', rule: 'a grant for the service' }
      : { status: 403, reason: 'outside_hours', rule: 'the hours of a grant' }),
    detail: `You have no access to ${service} at the moment.${hours === null ? '' : ` ${hours}`}`,
    hint: hours === null ? 'ask your sponsor for a grant' : 'open it again then',
  }),
  foreign: (why: string): Refusal => ({
    ...{ status: 403, reason: 'foreign_origin', rule: "the gateway's own pages alone" },
    detail: `Daypass refused what another site asked for: ${why}.`,
  }),
  twoCookies: (): Refusal => ({
    ...{ status: 400, reason: 'bad_request', rule: 'one login' },
    detail: 'The request has more than one login.',
    hint: 'delete the cookies of this site, and begin again',
  }),
  noTool: (): Refusal => ({
    ...{ status: 400, reason: 'bad_request', rule: 'what a command line asks for' },
    detail: 'This is not what a command line of Daypass asks for.',
    hint: 'run daypass login again',
  }),
  /** @param wait - milliseconds */
  tooOften: (wait: number): Refusal =>
    tooMany('Too many logins were begun from your address.', 'logins from one address', wait),
  notNow: (): Refusal =>
    refusalFor('store_unavailable', 'Logins cannot be checked at the moment.', {
      rule: 'a login',
      hint: 'try again in a moment',
    }),
  /** @param wait - milliseconds */
  handoversTooOften: (wait: number): Refusal =>
    tooMany('You have opened services too often.', 'hand-overs of one person', wait),
  /** @param wait - milliseconds */
  requestsTooOften: (wait: number): Refusal =>
    tooMany('You have asked for too many pages of requests.', 'pages of requests of one person', wait),
  notDecided: (): Refusal =>
    refusalFor('store_unavailable', 'The gateway cannot say whether this was decided.', {
      rule: 'a decision',
      hint: 'open the page again, and look whether it was before you decide anew',
    }),
};

/** @param wait - milliseconds */
function tooMany(detail: string, rule: string, wait: number): Refusal {
  return refusalFor('too_many', detail, { rule, hint: 'try again in a moment', retryAfter: Math.ceil(wait / 1_000) });
}

/** What may be refused of accounts, passkeys and invitations, by the code of the fault. */
const STATUS: Readonly<Record<string, number>> = {
  invitation_over: 400,
  ceremony_over: 400,
  passkey_refused: 403,
  account_over: 403,
  account_ended: 403,
  no_account: 403,
  login_not_fresh: 403,
  unknown_passkey: 404,
  passkey_known: 409,
  last_passkey: 409,
  too_many_passkeys: 409,
};

/** The refusal that a fault stands for; null for a failure of ours. */
export function refusalOfFault(thrown: unknown): Refusal | null {
  if (!(thrown instanceof DaypassError)) return null;
  const { code, message, hint } = thrown;
  const status = STATUS[code];
  if (status === undefined) return null;
  return { status, reason: code, detail: message, ...(hint === undefined ? {} : { hint }) };
}
