import type { Refusal } from '../refusals/deny.js';

const RULE = 'a login by the company account';
const ASK = 'ask an operator; they find the reason in the log of the gateway';

/** Why a login by the directory came to nothing, for the person who wanted it. */
export const directoryRefusals = {
  not_begun: (): Refusal => ({
    ...{
      status: 400,
      reason: 'bad_request',
      rule: 'a login comes back once, to the browser that began it, within 10 min',
    },
    detail: 'This browser did not begin this login, or it is over.',
    hint: 'begin again at the first page of this gateway; nobody was logged in or out',
  }),
  refused: (): Refusal => ({
    ...{ status: 403, reason: 'login_refused', rule: RULE },
    detail: 'Your company’s login did not let you in.',
    hint: 'begin again, or ask whoever runs it',
  }),
  invalid: (): Refusal => ({
    ...{ status: 403, reason: 'login_refused', rule: RULE },
    detail: 'The answer of your company’s login is not one that Daypass believes.',
    hint: ASK,
  }),
  ended: (): Refusal => ({
    ...{ status: 403, reason: 'logged_out', rule: RULE },
    detail: 'Your company’s login was ended meanwhile.',
    hint: 'log in again',
  }),
  no_subject: (): Refusal => ({
    ...{ status: 403, reason: 'login_refused', rule: 'a name that can hold grants' },
    detail: 'Your company’s login says no name for you that Daypass can use.',
    hint: ASK,
  }),
  taken: (): Refusal => ({
    ...{ status: 403, reason: 'login_refused', rule: 'one account for each name' },
    detail: 'Somebody else has an account under your name here.',
    hint: ASK,
  }),
  closed: (): Refusal => ({
    ...{ status: 403, reason: 'account_closed', rule: 'an open account' },
    detail: 'Your account at this gateway is closed.',
    hint: 'ask an operator if that is a mistake',
  }),
  away: (): Refusal => ({
    ...{ status: 503, reason: 'directory_unavailable', rule: RULE, retryAfter: 10 },
    detail: 'Your company’s login does not answer at the moment.',
    hint: 'try again in a moment; whoever is logged in stays so',
  }),
};
