import { DaypassError } from '../../errors.js';
import type { Directory } from '../../identity/directory.js';
import { FLOW_LASTS } from '../../identity/flows.js';
import { isSecret, newSecret } from '../../identity/secret.js';
import type { Header } from '../action.js';
import type { ClientResponse } from '../client/response.js';
import { valuesOf } from '../headers/headers.js';
import { cookiesNamed, FLOW_COOKIE, sessionCookie, setCookie } from './cookies.js';
import { directoryRefusals } from './directory-refusals.js';
import { fieldOf, shortBody } from './form.js';
import { directoryPage, sendOn, sendPage } from './pages.js';
import { type Answer, refuse } from './refusals.js';
import { safeTarget } from './state.js';
import { type Page, tooOften, type Visit } from './visit.js';

/** Where the directory leads browsers back to. */
const CALLBACK = '/oidc/callback';

/** Logins by the company's directory, seen from the browser. */
export const DIRECTORY_PAGES: Readonly<Record<string, Page>> = {
  'GET /login/oidc': (visit) => withDirectory(visit, (directory) => begin(visit, directory)),
  [`GET ${CALLBACK}`]: (visit) => withDirectory(visit, (directory) => finish(visit, directory)),
};

/** How often one address may begin a login. */
const OFTEN = { count: 300, seconds: 60 };

async function withDirectory({ parts }: Visit, page: (directory: Directory) => Promise<Answer>): Promise<Answer> {
  const { directory } = parts.access;
  if (directory === null) return refuse.nothingHere();
  try {
    return await page(directory);
  } catch (thrown) {
    if (!(thrown instanceof DaypassError) || thrown.code !== 'directory_unavailable') throw thrown;
    parts.log.error({ err: thrown.message }, 'the identity provider cannot be used');
    return directoryRefusals.away();
  }
}

async function begin(visit: Visit, directory: Directory): Promise<Answer> {
  const { parts, req, res, host, query } = visit;
  const headers = req.headers;
  const target = safeTarget(query.get('to') ?? '/');
  // Another site may not change who a browser is logged in as: it gets a page with a link that a person has to follow.
  if (!isOwnIdea(headers, `${parts.scheme}://${host}`)) return sendPage(res, directoryPage(target));
  const refused = tooOften(visit, 'begin a login', OFTEN);
  if (refused !== null) return refused;
  const [held = '', ...more] = cookiesNamed(valuesOf(headers, 'cookie'), FLOW_COOKIE);
  if (more.length > 0) return refuse.twoCookies();
  const browser = isSecret(held) ? held : newSecret();
  const address = await directory.begin(browser, target, callbackOf(parts.scheme, host).href);
  return sendOn(res, address, [setCookie(FLOW_COOKIE, browser, FLOW_LASTS / 1_000)]);
}

async function finish({ parts, req, res, host, query, secret }: Visit, directory: Directory): Promise<Answer> {
  const [browser = '', ...more] = cookiesNamed(valuesOf(req.headers, 'cookie'), FLOW_COOKIE);
  if (more.length > 0) return refuse.twoCookies();
  const address = callbackOf(parts.scheme, host);
  address.search = query.toString();
  const finished = await directory.finish(address, browser, secret);
  if (!finished.ok) return directoryRefusals[finished.why]();
  const { login, target } = finished;
  return sendOn(res, safeTarget(target), [sessionCookie(login, parts.clock.wall())]);
}

function callbackOf(scheme: string, host: string): URL {
  return new URL(`${scheme}://${host}${CALLBACK}`);
}

/** Whether a person asked for it, or a page of ours did; a browser that does not say where from may name the page. */
function isOwnIdea(headers: readonly Header[], own: string): boolean {
  const sites = valuesOf(headers, 'sec-fetch-site');
  if (sites.length > 0) return sites.every((site) => site === 'same-origin' || site === 'none');
  const [referer = '', ...more] = valuesOf(headers, 'referer');
  return more.length === 0 && referer.startsWith(`${own}/`);
}

/** A logout token and its wrapping. */
const LONGEST_LOGOUT = 64 * 1024;

/**
 * Takes a logout token from the directory (OpenID Connect Back-Channel Logout 1.0 section 2.7): no browser asks, and no
 * cookie vouches for it.
 */
export async function backChannelLogout({ parts, req, res }: Pick<Visit, 'parts' | 'req' | 'res'>): Promise<Answer> {
  const { directory } = parts.access;
  if (directory === null) return refuse.nothingHere();
  const body = await shortBody(req, LONGEST_LOGOUT);
  if (!body.ok) return body.answer;
  const token = fieldOf(new URLSearchParams(body.text), 'logout_token');
  if (token === '') return answerLogout(res, 'there is no logout token');
  try {
    return answerLogout(res, await directory.logOut(token));
  } catch (thrown) {
    if (!(thrown instanceof DaypassError)) throw thrown;
    parts.log.error({ err: thrown.message }, 'a logout of the directory could not be done');
    return answerLogout(res, 'it could not be done now');
  }
}

/** Section 2.8. What is wrong stands in the log: whoever forges a token learns nothing from it. */
function answerLogout(res: ClientResponse, why: string | null): null {
  const body = why === null ? '' : `${JSON.stringify({ error: 'invalid_request' })}\n`;
  const type = why === null ? {} : { 'content-type': 'application/json' };
  res.send(why === null ? 200 : 400, { 'cache-control': 'no-store', ...type }, body);
  return null;
}
