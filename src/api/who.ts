import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import { actingNow } from '../identity/acting.js';
import type { Actor, Duties } from '../identity/actor.js';
import type { Logins } from '../identity/logins.js';
import type { People } from '../identity/people.js';
import { JSON_TYPE } from './app.js';

/** What the listener in front has found out of a request. */
export interface Visit {
  /** The client's address. */
  readonly client: string;
  /** The values of all its Authorization headers. */
  readonly authorizations: readonly string[];
  /** The secrets of all login cookies it holds. */
  readonly logins: readonly string[];
  /** Why it is not the idea of the person whose cookie it carries; null when it is. */
  readonly foreign: string | null;
  /** The values of all its Daypass-CSRF headers. */
  readonly csrf: readonly string[];
  /** The values of all its Origin and Sec-Fetch-Site headers: a browser sends one. */
  readonly origins: readonly string[];
  /** To be called once it is known who asks, and that they may. @returns false where they have too many connections for this one */
  readonly letIn: (person: string) => boolean;
  /** Given for the opening of a WebSocket (RFC 6455 section 4.2.1), which was found well-formed. */
  readonly upgrade?: Upgrade | undefined;
}

/** The connection of a request that wants to become something else, and what came behind its head. */
export interface Upgrade {
  readonly socket: Socket;
  readonly head: Buffer;
}

/** What knows the tokens of tools. */
export interface TokenBook {
  find(secret: string): Promise<{ readonly subject: string } | null>;
}

export interface WhoParts {
  readonly people: People;
  readonly logins: Pick<Logins, 'find'>;
  readonly tokens: TokenBook;
  readonly duties: Duties;
  readonly clock: Clock;
}

const BEARER = /^bearer +(dpt_[A-Za-z0-9_-]{43})$/i;

/**
 * Who asks, by the one credential that the request has: a token of a tool, or the login cookie of a browser. Neither stands
 * in for the other, and with two nobody can say who was meant.
 * @throws DaypassError `two_credentials`, `not_logged_in`, `login_over`, `foreign_request`, `not_json`, `no_account`,
 * `account_ended`, `ledger_unavailable`
 */
export async function whoAsks(parts: WhoParts, visit: Visit, request: FastifyRequest): Promise<Actor> {
  const { authorizations, logins } = visit;
  if (authorizations.length + logins.length > 1) throw new DaypassError('two_credentials', TWO, { hint: 'Send one.' });
  const [authorization] = authorizations;
  if (authorization !== undefined) return actingNow(parts, await byToken(parts, authorization), 'token');
  const [login] = logins;
  if (login === undefined)
    throw new DaypassError('not_logged_in', 'Nobody is logged in here.', { hint: 'Run daypass login.' });
  checkOwnIdea(visit, request);
  const found = await parts.logins.find(login);
  if (found === null) throw over();
  return actingNow(parts, found.principal, 'browser');
}

const TWO = 'The request has more than one login.';

/** The token that a request carries. */
export function secretOf({ authorizations: [authorization = ''] }: Pick<Visit, 'authorizations'>): string | undefined {
  return BEARER.exec(authorization)?.[1];
}

async function byToken({ tokens }: WhoParts, authorization: string): Promise<string> {
  const secret = secretOf({ authorizations: [authorization] });
  const found = secret === undefined ? null : await tokens.find(secret);
  if (found === null) throw over();
  return found.subject;
}

function over(): DaypassError {
  const hint = 'Run daypass login, or log in again in the browser. Handles open services and nothing here.';
  return new DaypassError('login_over', 'This login is unknown, or over.', { hint });
}

/**
 * Browsers send a cookie along with whatever any page asks for. What changes something must come from a page of this very
 * host, and be what neither a form nor a simple request of another origin can be: JSON, with a header of our own.
 */
function checkOwnIdea({ foreign, csrf }: Visit, { method, headers }: FastifyRequest): void {
  if (foreign !== null)
    throw new DaypassError('foreign_request', `Daypass refused what another site asked for: ${foreign}.`);
  if (method === 'GET') return;
  if (!JSON_TYPE.test(headers['content-type'] ?? ''))
    throw new DaypassError('not_json', 'The content type is not application/json.');
  if (csrf.length !== 1 || csrf[0] !== '1')
    throw new DaypassError('foreign_request', 'The request lacks the header Daypass-CSRF: 1.');
}

/** RFC 6750 section 3. */
export function askForLogin(reply: FastifyReply, code: string): void {
  const error = code === 'login_over' ? ', error="invalid_token"' : '';
  void reply.header('www-authenticate', `Bearer realm="daypass"${error}`);
}
