import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { Login } from '../../identity/logins.js';
import type { HttpParts } from '../dispatch.js';
import { pairs, valuesOf } from '../headers.js';
import { readTarget } from '../path.js';
import { cookiesNamed, SESSION_COOKIE, setCookie } from './cookies.js';
import { foreignRequest, isNavigation } from './foreign.js';
import { homePage, LOGIN_PAGE, sendOn, sendPage, WELCOME_PAGE } from './pages.js';
import { type Answer, refuse } from './refusals.js';
import { BEGIN, ENTER } from './service-side.js';

/** One request to the gateway's own host. */
interface Visit {
  readonly parts: HttpParts;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** The gateway's own host as the browser knows it, with its port. */
  readonly host: string;
  readonly query: URLSearchParams;
  /** The login's secret that the browser holds. */
  readonly secret: string | null;
}

type Page = (visit: Visit) => Promise<Answer> | Answer;

/** What a person goes to, and what a page of ours asks for. */
const PAGES: Readonly<Record<string, Page>> = {
  'GET /': home,
  'GET /login': ({ res }) => sendPage(res, LOGIN_PAGE),
  'GET /handover': handOver,
  'POST /login': logIn,
  'POST /logout': logOut,
};

/**
 * Serves the pages of the gateway's own host.
 * @returns null when there is no such page, or nobody looks at it who would read one
 */
export async function serveGatewayHost(
  parts: HttpParts,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<{ readonly refusal: Answer } | null> {
  const headers = pairs(req.rawHeaders);
  const target = readTarget(req.url ?? '');
  const page = target.ok ? PAGES[`${req.method} ${target.path}`] : undefined;
  if (page === undefined || !target.ok) return null;
  if (req.method === 'GET' && !isNavigation('GET', headers)) return null;
  const host = (req.headers.host ?? '').toLowerCase();
  const foreign = req.method === 'GET' ? null : foreignRequest('POST', headers, `${parts.scheme}://${host}`);
  if (foreign !== null) return { refusal: refuse.foreign(foreign) };
  const [secret = null, ...more] = cookiesNamed(valuesOf(headers, 'cookie'), SESSION_COOKIE);
  if (more.length > 0) return { refusal: refuse.twoCookies() };
  const query = new URLSearchParams(target.query);
  return { refusal: await page({ parts, req, res, host, query, secret }) };
}

async function home(visit: Visit): Promise<Answer> {
  const { parts, res, host } = visit;
  const login = await loginOf(visit);
  if (login === null) return sendPage(res, WELCOME_PAGE);
  const grants = await parts.access.handovers.servicesOf(login);
  const listed = grants
    .filter(({ service }) => parts.gate.serves(service, 'http'))
    .map(({ service, role, expiresAt }) => ({
      ...{ service, role, until: new Date(expiresAt).toISOString() },
      href: `${parts.scheme}://${service}.${host}${BEGIN}`,
    }));
  return sendPage(res, homePage(login.principal, listed));
}

async function handOver(visit: Visit): Promise<Answer> {
  const { parts, res, host, query } = visit;
  const [service = '', bind = ''] = [query.get('service') ?? '', query.get('bind') ?? ''];
  if (!parts.gate.serves(service, 'http') || !/^[A-Za-z0-9_-]{43}$/.test(bind)) return refuse.nothingHere();
  const login = await loginOf(visit);
  if (login === null) return refuse.notLoggedIn();
  const code = await parts.access.handovers.begin(login, service, bind);
  if (code === null) return refuse.noGrant(service);
  return sendOn(res, `${parts.scheme}://${service}.${host}${ENTER}?code=${code}`);
}

async function logIn({ parts, req, res, secret }: Visit): Promise<Answer> {
  const body = await Promise.race([shortBody(req), pause(BODY_WITHIN, undefined, { ref: false })]);
  if (body === undefined) return refuse.tooSlow();
  if (body === null) return null; // whoever leaves is not refused
  const form = new URLSearchParams(body);
  const login = await parts.access.logins.logIn(form.get('code') ?? '', secret);
  if (login === null) return refuse.linkOver();
  const { principal, expiresAt } = login;
  parts.log.info({ principal, client: req.socket.remoteAddress }, 'logged in with a browser');
  return sendOn(res, '/', [setCookie(SESSION_COOKIE, login.secret, (expiresAt - parts.clock.wall()) / 1_000)]);
}

async function logOut(visit: Visit): Promise<Answer> {
  const login = await loginOf(visit);
  if (login !== null) {
    const { principal } = login;
    await visit.parts.access.logins.logOut(principal, { by: principal, reason: 'logged out in a browser' });
    visit.parts.log.info({ principal }, 'logged out everywhere');
  }
  return sendOn(visit.res, '/', [setCookie(SESSION_COOKIE, '', 0)]);
}

async function loginOf({ parts, secret }: Visit): Promise<Login | null> {
  return secret === null ? null : parts.access.logins.find(secret);
}

/** `code=` and 43 characters. */
const LONGEST = 64;
/** How long it may take to come, milliseconds. */
const BODY_WITHIN = 5_000;

/** A body that may be the form with a code; empty when its head says that it is none, null when it breaks off. */
async function shortBody(req: IncomingMessage): Promise<string | null> {
  if (!(Number(req.headers['content-length'] ?? LONGEST + 1) <= LONGEST)) return '';
  try {
    let text = '';
    for await (const piece of req.setEncoding('latin1')) text += String(piece);
    return text;
  } catch {
    return null;
  }
}
