import { type Refusal, refusalFor } from '../deny.js';

/** What came of a request that is the gateway's own to answer: a refusal to say, or null when it was answered. */
export type Answer = Refusal | null;

const BEGIN_AGAIN = 'open the service again';

/** The refusals on the way of a browser's login. Each is made anew: none is an end of something in the record. */
export const refuse = {
  nothingHere: (): Refusal => ({ status: 404, reason: 'not_found', detail: 'There is nothing here.' }),
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
  notLoggedIn: (): Refusal =>
    refusalFor('malformed', 'This browser is not logged in at the gateway.', {
      rule: 'a login',
      hint: 'ask your sponsor or an operator for a login link (daypass login-link <you>), open it in this browser, then the service again',
    }),
  linkOver: (): Refusal =>
    refusalFor('malformed', 'This login link was used already, or is too old.', {
      rule: 'a link works once, for 10 min',
      hint: 'ask for a new one',
    }),
  tooSlow: (): Refusal => ({
    ...{ status: 408, reason: 'bad_request', rule: 'the form of a login within 5 s' },
    detail: 'The form of this login took too long to come.',
    hint: 'try again',
  }),
  noGrant: (service: string): Refusal => ({
    ...{ status: 403, reason: 'unknown_grant', rule: 'a grant for the service' },
    detail: `You have no access to ${service} at the moment.`,
    hint: 'ask your sponsor for a grant',
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
    refusalFor('too_many', 'Too many logins were begun from your address.', {
      rule: 'logins from one address',
      hint: 'try again in a moment',
      retryAfter: Math.ceil(wait / 1_000),
    }),
  notNow: (): Refusal =>
    refusalFor('store_unavailable', 'Logins cannot be checked at the moment.', {
      rule: 'a login',
      hint: 'try again in a moment',
    }),
};
