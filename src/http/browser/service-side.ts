import { isGrantId } from '../../grant/handle.js';
import { digestOf, newSecret } from '../../identity/secret.js';
import type { ClientRequest } from '../client/request.js';
import type { ClientResponse } from '../client/response.js';
import { valuesOf } from '../headers/headers.js';
import type { Selected } from '../headers/host.js';
import type { HttpParts } from '../parts.js';
import { TOO_LONG } from '../request.js';
import { readTarget } from '../rules/path.js';
import { cookiesNamed, SESSION_COOKIE, sessionCookie, setCookie } from './cookies.js';
import { isNavigation } from './foreign.js';
import { leadToForget } from './forget.js';
import { sendOn } from './pages.js';
import { FORGET, gatewayHost, isOwnPath, OWN_PATHS } from './place.js';
import { type Answer, refuse } from './refusals.js';
import { oldestStates, packState, readStates, STATE_LASTS } from './state.js';

type Service = Extract<Selected, { kind: 'service' }>;

/** The path of a service's host that a code is brought to. */
export const ENTER = `${OWN_PATHS}/enter`;
/** The path that begins anew, whatever session the browser has. */
export const BEGIN = `${OWN_PATHS}/begin`;

/** Whether a request target is one of the gateway's own at a service's host. */
export function isOwnTarget(raw: string): boolean {
  // Every other spelling of the first segment begins with these two, too.
  if (!/^\/(?:\.|%)/.test(raw)) return false;
  const target = readTarget(raw);
  return target.ok && isOwnPath(target.path);
}

let turn = 0;
const nextTurn = () => turn++;

/** Where a hand-over begins. */
interface Beginning {
  /** Where it leads to in the end, a path of the service. */
  readonly target: string;
  readonly cookies: readonly string[];
  /** The grant that the person chose; the newest unless given. */
  readonly grant?: string | null;
}

/** Leads a browser to the gateway's host; what it keeps meanwhile binds the code to it. */
export function beginHandover(
  parts: HttpParts,
  selected: Service,
  res: ClientResponse,
  { target, cookies, grant = null }: Beginning,
): null {
  const nonce = newSecret();
  const bind = digestOf(nonce).toString('base64url');
  const gateway = `${parts.scheme}://${gatewayHost(selected.host, selected.name)}`;
  const coming = packState(nonce, target, nextTurn);
  const given = oldestStates(cookies, coming).map((old) => setCookie(old, '', 0));
  for (const { name, value } of coming) given.push(setCookie(name, value, STATE_LASTS));
  const chosen = grant !== null && isGrantId(grant) ? `&grant=${grant}` : '';
  return sendOn(res, `${gateway}/handover?service=${selected.name}&bind=${bind}${chosen}`, given);
}

/** Serves what is under `/.daypass` at a service's host. Nothing of it reaches the service. */
export async function serveOwnTarget(
  parts: HttpParts,
  selected: Service,
  req: ClientRequest,
  res: ClientResponse,
): Promise<Answer> {
  const headers = req.headers;
  const target = readTarget(req.target);
  const path = target.ok ? target.path : '';
  if (path === FORGET) return leadToForget(parts, { req, res, host: gatewayHost(selected.host, selected.name) });
  if ((path !== ENTER && path !== BEGIN) || !parts.gate.serves(selected.name, 'http')) return refuse.nothingHere();
  const query = new URLSearchParams(target.ok ? target.query : '');
  const codes = path === ENTER ? query.getAll('code') : [];
  if (req.head.isCut) return useUp(parts, codes);
  if (req.method !== 'GET') return refuse.notAMethod(['GET']);
  if (!isNavigation(req.method, headers)) return refuse.nothingHere();
  const cookies = valuesOf(headers, 'cookie');
  if (path === BEGIN) return beginHandover(parts, selected, res, { target: '/', cookies, grant: query.get('grant') });
  return enterService(parts, selected, res, cookies, codes);
}

/**
 * A code whose browser has too many cookies to bring it: any page of the service can see to that, and Firefox shows it the address
 * in the history of its tab.
 */
async function useUp({ access }: HttpParts, codes: readonly string[]): Promise<Answer> {
  for (const code of codes.slice(0, 2)) await access.handovers.enter(code, [], '', null);
  return TOO_LONG;
}

/**
 * Takes a code that belongs to this browser, and gives it a session. A code is used up even where nothing was begun: a page
 * of the service could have asked for it, and read it later in the history of its tab.
 */
async function enterService(
  { access, clock, scheme, log }: HttpParts,
  selected: Service,
  res: ClientResponse,
  cookies: readonly string[],
  [code = '', ...more]: readonly string[],
): Promise<Answer> {
  if (more.length > 0) return refuse.notBegunHere();
  const states = readStates(cookies);
  const [previous = null] = cookiesNamed(cookies, SESSION_COOKIE);
  const binds = states.map(({ bind }) => bind);
  const session = await access.handovers.enter(code, binds, selected.name, previous);
  const state = states.find(({ bind }) => session?.bind.equals(bind));
  if (states.length === 0) return refuse.notBegunHere();
  if (session === null || state === undefined) return refuse.codeOver();
  if (previous !== null && previous !== session.secret) access.browsers.forget(previous);
  const { principal, ended } = session;
  if (ended > 0) log.info({ principal, service: selected.name, ended }, 'the oldest browser sessions were ended');
  const given = [sessionCookie(session, clock.wall()), ...state.names.map((name) => setCookie(name, '', 0))];
  return sendOn(res, `${scheme}://${selected.host}${state.target}`, given);
}
