import { z } from 'zod';
import type { Login } from '../../identity/logins.js';
import type { Begun, Finish } from '../../identity/passkeys.js';
import { readJson } from '../../json.js';
import type { ClientRequest } from '../client/request.js';
import type { ClientResponse } from '../client/response.js';
import { valuesOf } from '../headers/headers.js';
import { clientOf } from '../whence.js';
import { CEREMONY_COOKIE, cookiesNamed, sessionCookie, setCookie } from './cookies.js';
import { shortBody } from './form.js';
import { plainInstant } from './instant.js';
import { INVITE_PAGE, passkeysPage, sendJson, sendOn, sendPage } from './pages.js';
import { type Answer, refusalOfFault, refuse } from './refusals.js';
import { loginOf, type Page, tooOften, type Visit } from './visit.js';

/** What a page's script sends. */
interface Sent extends Visit {
  readonly body: Readonly<Record<string, unknown>>;
}

/** Invitations, passkeys and logins with them, at the gateway's own host. */
export const PASSKEY_PAGES: Readonly<Record<string, Page>> = {
  'GET /invite': ({ res }) => sendPage(res, INVITE_PAGE),
  'GET /passkeys': listPasskeys,
  'POST /invite/show': sent(showInvitation),
  'POST /invite/begin': sent(beginInvited),
  'POST /invite/finish': sent(finishInvited),
  'POST /login/begin': sent(beginLogin),
  'POST /login/finish': sent(finishLogin),
  'POST /passkeys/begin': sent(ofPasskeyLogin(beginAddition)),
  'POST /passkeys/finish': sent(ofPasskeyLogin(finishAddition)),
  'POST /passkeys/remove': sent(ofPasskeyLogin(remove)),
};

async function listPasskeys(visit: Visit): Promise<Answer> {
  const { parts, res } = visit;
  const login = await loginOf(visit);
  if (login === null) return sendOn(res, '/');
  const { passkeys } = parts.access;
  const listed = (await passkeys.list(login.principal)).map(({ id, createdAt, usedAt }) => ({
    ...{ id, created: plainInstant(createdAt), used: usedAt === null ? null : plainInstant(usedAt) },
  }));
  return sendPage(res, passkeysPage(listed, await passkeys.isFresh(login)));
}

async function showInvitation({ parts, res, body }: Sent): Promise<Answer> {
  const { subject, name, by, endsAt, expiresAt } = await parts.access.passkeys.invited(textOf(body.secret));
  const ends = endsAt === null ? null : plainInstant(endsAt);
  return sendJson(res, { subject, name, by, endsAt: ends, expiresAt: plainInstant(expiresAt) });
}

async function beginInvited({ parts, res, body }: Sent): Promise<Answer> {
  return sendBegun(res, await parts.access.passkeys.beginInvited(textOf(body.secret)));
}

async function finishInvited(visit: Sent): Promise<Answer> {
  const { parts, body, secret: previous } = visit;
  const finish = { ...finishOf(visit), previous };
  return sendLogin(visit, await parts.access.passkeys.finishInvited(textOf(body.secret), finish));
}

async function beginLogin({ parts, res }: Sent): Promise<Answer> {
  return sendBegun(res, await parts.access.passkeys.beginLogin());
}

async function finishLogin(visit: Sent): Promise<Answer> {
  const finish = { ...finishOf(visit), previous: visit.secret };
  return sendLogin(visit, await visit.parts.access.passkeys.finishLogin(finish));
}

async function beginAddition({ parts, res }: Sent, login: Login): Promise<Answer> {
  return sendBegun(res, await parts.access.passkeys.beginAddition(login));
}

async function finishAddition(visit: Sent, login: Login): Promise<Answer> {
  await visit.parts.access.passkeys.finishAddition(login, finishOf(visit));
  return sendJson(visit.res, {}, [setCookie(CEREMONY_COOKIE, '', 0)]);
}

async function remove({ parts, res, body }: Sent, login: Login): Promise<Answer> {
  await parts.access.passkeys.remove(login, textOf(body.id));
  return sendJson(res, {});
}

/** What takes somebody who is logged in with a passkey. */
function ofPasskeyLogin(page: (visit: Sent, login: Login) => Promise<Answer>) {
  return async (visit: Sent): Promise<Answer> => {
    const login = await loginOf(visit);
    return login === null ? refuse.noPasskeys() : page(visit, login);
  };
}

/** How often one address may ask: each beginning leaves a row in the ledger for five minutes. */
const OFTEN = { count: 300, seconds: 60 };

/** A page for scripts: reads what was sent, and says in words what was refused. */
function sent(page: (visit: Sent) => Promise<Answer>): Page {
  return async (visit) => {
    const { parts, req } = visit;
    const refused = tooOften(visit, 'passkeys', OFTEN);
    if (refused !== null) return refused;
    const read = await jsonBody(req);
    if (read === null || 'status' in read) return read;
    try {
      return await page({ ...visit, body: read.body });
    } catch (thrown) {
      const refusal = refusalOfFault(thrown);
      if (refusal === null) throw thrown;
      const { reason } = refusal;
      parts.log.info({ client: clientOf(req), reason, err: thrown }, 'a passkey or invitation was refused');
      return refusal;
    }
  };
}

function sendBegun(res: ClientResponse, { options, browser }: Begun): null {
  return sendJson(res, { options }, [setCookie(CEREMONY_COOKIE, browser, CEREMONY_SECONDS)]);
}

function sendLogin({ parts, req, res }: Sent, given: { principal: string; secret: string; expiresAt: number }): null {
  const { principal } = given;
  parts.log.info({ principal, client: clientOf(req) }, 'logged in with a passkey');
  const cookies = [sessionCookie(given, parts.clock.wall()), setCookie(CEREMONY_COOKIE, '', 0)];
  return sendJson(res, { principal }, cookies);
}

/** What is behind a ceremony's end. More than one cookie means that somebody else set one: then it is nobody's. */
function finishOf({ parts, req, body }: Sent): Finish {
  const cookies = valuesOf(req.headers, 'cookie');
  const [browser = null, ...more] = cookiesNamed(cookies, CEREMONY_COOKIE);
  return { browser: more.length > 0 ? null : browser, answer: body.answer, origin: parts.origin() };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** How long the browser keeps what binds a ceremony to it, seconds; the ledger decides how long it counts. */
const CEREMONY_SECONDS = 300;
/** Bytes: an authenticator's answer takes some hundred. */
const LONGEST = 16 * 1024;

const objectSchema = z.record(z.string(), z.unknown());

/** A JSON object that a script of ours sent; null when it breaks off. */
async function jsonBody(req: ClientRequest): Promise<Answer | { readonly body: Readonly<Record<string, unknown>> }> {
  if (!/^application\/json(?:;|$)/i.test(req.header('content-type') ?? '')) return refuse.notJson();
  if (!(Number(req.header('content-length') ?? LONGEST + 1) <= LONGEST)) return refuse.tooLong();
  const sent = await shortBody(req, LONGEST);
  if (!sent.ok) return sent.answer;
  const parsed = objectSchema.safeParse(readJson(sent.text));
  return parsed.success ? { body: parsed.data } : refuse.notJson();
}
