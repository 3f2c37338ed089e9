import type { ClientRequest } from '../client/request.js';
import type { ClientResponse } from '../client/response.js';
import { valuesOf } from '../headers/headers.js';
import type { HttpParts } from '../parts.js';
import { TOO_LONG } from '../request.js';
import { METHODS } from '../rules/override.js';
import { readTarget } from '../rules/path.js';
import { clientOf } from '../whence.js';
import { isApiPath, serveApi } from './api-side.js';
import { cookiesNamed, SESSION_COOKIE, sessionCookie, setCookie } from './cookies.js';
import { backChannelLogout, DIRECTORY_PAGES } from './directory.js';
import { foreignRequest, isNavigation } from './foreign.js';
import { serveForget } from './forget.js';
import { shortBody } from './form.js';
import { plainInstant } from './instant.js';
import { homePage, LOGIN_PAGE, loggedOutPage, sendOn, sendPage, welcomePage } from './pages.js';
import { PASSKEY_PAGES } from './passkey-side.js';
import { FORGET } from './place.js';
import { type Answer, refuse } from './refusals.js';
import { requestPageAt } from './request-side.js';
import { BEGIN, ENTER } from './service-side.js';
import { TOOL_PAGES } from './tool.js';
import { TOOL_API } from './tool-api.js';
import { loginOf, type Page, type Visit } from './visit.js';

/** What a person goes to, and what a page of ours asks for. */
const PAGES: Readonly<Record<string, Page>> = {
  'GET /': home,
  'GET /login': ({ res }) => sendPage(res, LOGIN_PAGE),
  'GET /handover': handOver,
  'POST /login': logIn,
  'POST /logout': logOut,
  ...DIRECTORY_PAGES,
  ...TOOL_PAGES,
  ...PASSKEY_PAGES,
};

/** What something begins or ends by, though it is got: HEAD, which programs send that look ahead of people, gets none of it. */
const ONCE = new Set(['/handover', '/login/oidc', '/oidc/callback']);

/** What no browser asks for: no cookie vouches for it. */
const MACHINES: Readonly<Record<string, (asked: Pick<Visit, 'parts' | 'req' | 'res'>) => Promise<Answer>>> = {
  'POST /oidc/backchannel-logout': backChannelLogout,
  ...TOOL_API,
};

/**
 * Serves the pages of the gateway's own host.
 * @returns null when there is no such page, or nobody looks at it who would read one
 */
export async function serveGatewayHost(
  parts: HttpParts,
  req: ClientRequest,
  res: ClientResponse,
): Promise<{ readonly refusal: Answer } | null> {
  const headers = req.headers;
  const target = readTarget(req.target);
  const machine = target.ok ? MACHINES[`${req.method} ${target.path}`] : undefined;
  if (machine !== undefined) {
    letSend(req, res);
    return { refusal: await machine({ parts, req, res }) };
  }
  if (!target.ok) return null;
  const host = (req.header('host') ?? '').toLowerCase();
  if (target.path === FORGET) return { refusal: serveForget(parts, { req, res, host }) };
  if (req.head.isCut) return { refusal: TOO_LONG };
  if (isApiPath(target.path)) return { refusal: await serveApi(parts, req, res, target) };
  const page = pageAt(req.method, target.path);
  if (page === undefined) {
    const methods = METHODS.filter((method) => isThere(method, target.path));
    return methods.length === 0 ? null : { refusal: refuse.notAMethod(methods) };
  }
  const isLook = req.method !== 'POST';
  if (isLook && !isNavigation('GET', headers)) return null;
  const foreign = isLook ? null : foreignRequest('POST', headers, `${parts.scheme}://${host}`);
  if (foreign !== null) return { refusal: refuse.foreign(foreign) };
  const [secret = null, ...more] = cookiesNamed(valuesOf(headers, 'cookie'), SESSION_COOKIE);
  if (more.length > 0) return { refusal: refuse.twoCookies() };
  const query = new URLSearchParams(target.query);
  const asked = target.path + target.query;
  letSend(req, res);
  return { refusal: await page({ parts, req, res, host, target: asked, query, secret }) };
}

/** Whoever waits for a word before the body gets it. */
function letSend({ head }: ClientRequest, res: ClientResponse): void {
  if (head.expectation === 'continue') res.writeContinue();
}

/** HEAD is answered as GET, without a body (RFC 9110 section 9.3.2). */
function pageAt(method: string, path: string): Page | undefined {
  if (method === 'HEAD') return ONCE.has(path) ? undefined : pageAt('GET', path);
  const asked = `${method} ${path}`;
  return PAGES[asked] ?? requestPageAt(asked);
}

function isThere(method: string, path: string): boolean {
  return pageAt(method, path) !== undefined || MACHINES[`${method} ${path}`] !== undefined;
}

async function home(visit: Visit): Promise<Answer> {
  const { parts, res, host } = visit;
  const login = await loginOf(visit);
  if (login === null) return sendPage(res, welcomePage(parts.access.directory !== null, '/'));
  const grants = await parts.access.handovers.servicesOf(login);
  const here = grants.filter(({ service }) => parts.gate.upstreamOf(service) !== undefined);
  const listed = here.map(({ id, service, role, expiresAt }) => ({
    ...{ service, role, until: plainInstant(expiresAt) },
    href: parts.gate.serves(service, 'http') ? `${parts.scheme}://${service}.${host}${BEGIN}?grant=${id}` : null,
  }));
  return sendPage(res, homePage(login.principal, listed, login.source === 'passkey'));
}

async function handOver(visit: Visit): Promise<Answer> {
  const { parts, res, host, target, query } = visit;
  const [service, bind, chosen] = [query.get('service') ?? '', query.get('bind') ?? '', query.get('grant')];
  if (!parts.gate.serves(service, 'http') || !/^[A-Za-z0-9_-]{43}$/.test(bind)) return refuse.nothingHere();
  const login = await loginOf(visit);
  // The way on is this very request, as it was normalised: a login leads back to it, and to nowhere else.
  if (login === null)
    return sendPage(res, welcomePage(parts.access.directory !== null, target, `open ${service}`), [], 401);
  const wait = parts.rates.take(`person ${login.principal}`, 'hand-overs', OFTEN, parts.monotonic());
  if (wait > 0) return refuse.handoversTooOften(wait);
  const code = await parts.access.handovers.begin(login, service, bind, chosen);
  if (code === null) return refuse.noGrant(service, await parts.access.handovers.hoursOf(login, service, chosen));
  return sendOn(res, `${parts.scheme}://${service}.${host}${ENTER}?code=${code}`);
}

async function logIn({ parts, req, res, secret }: Visit): Promise<Answer> {
  const body = await shortBody(req, LONGEST);
  if (!body.ok) return body.answer;
  const form = new URLSearchParams(body.text);
  const login = await parts.access.logins.logIn(form.get('code') ?? '', secret);
  if (login === null) return refuse.linkOver();
  parts.log.info({ principal: login.principal, client: clientOf(req) }, 'logged in with a browser');
  return sendOn(res, '/', [sessionCookie(login, parts.clock.wall())]);
}

async function logOut(visit: Visit): Promise<Answer> {
  const login = await loginOf(visit);
  if (login !== null) {
    const { principal } = login;
    const act = { by: principal, via: 'browser', reason: 'logged out in a browser' } as const;
    await visit.parts.access.logins.logOut(principal, act);
    visit.parts.log.info({ principal }, 'logged out everywhere');
  }
  const cookies = [setCookie(SESSION_COOKIE, '', 0)];
  const elsewhere = login?.source === 'oidc' ? (visit.parts.access.directory?.logoutPage ?? null) : null;
  return elsewhere === null ? sendOn(visit.res, '/', cookies) : sendPage(visit.res, loggedOutPage(elsewhere), cookies);
}

/** How often one person may be handed over: each time leaves a row in the ledger for a week. */
const OFTEN = { count: 300, seconds: 60 };
/** `code=` and 43 characters. */
const LONGEST = 64;
