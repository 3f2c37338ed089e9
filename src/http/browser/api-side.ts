import { type IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { endSurely } from '../../session/connection.js';
import { messageOf, nodeViewOf } from '../client/node-view.js';
import type { ClientRequest } from '../client/request.js';
import type { ClientResponse } from '../client/response.js';
import { valuesOf } from '../headers/headers.js';
import type { HttpParts } from '../parts.js';
import type { Target } from '../rules/path.js';
import { clientOf } from '../whence.js';
import { cookiesNamed, SESSION_COOKIE } from './cookies.js';
import { foreignRequest } from './foreign.js';
import { type Answer, refuse } from './refusals.js';

/** What the listener has found out of a request to the API; its path is the normalised one. */
export interface ApiVisit {
  /** The client's address, as the socket or a listed proxy says. */
  readonly client: string;
  /** The values of all its Authorization headers. */
  readonly authorizations: readonly string[];
  /** The secrets of all login cookies it holds at this host. */
  readonly logins: readonly string[];
  /** Why it is not the idea of the person whose cookie it carries; null when it is. */
  readonly foreign: string | null;
  /** The values of all its Daypass-CSRF headers: no form can send one, and no other origin may. */
  readonly csrf: readonly string[];
  /** The values of all its Origin and Sec-Fetch-Site headers: a browser sends one. */
  readonly origins: readonly string[];
  /** To be called once it is known who asks, and that they may. */
  readonly letIn: (person: string) => boolean;
  /** Given for the opening of a WebSocket. */
  readonly upgrade?: { readonly socket: Socket; readonly head: Buffer };
}

/** Answers a request; the composition root passes it in, since this room knows nothing of the API. */
export type ApiDoor = (req: IncomingMessage, res: ServerResponse, visit: ApiVisit) => void;

/** How long a body may take to come, milliseconds. */
const BODY_WITHIN = 10_000;

/** Whether a normalised path belongs to the API. */
export function isApiPath(path: string): boolean {
  return path === '/api' || path.startsWith('/api/');
}

/** Hands a request over; resolves when it has been answered, or its client has left. */
export async function serveApi(
  { api, scheme, faults }: HttpParts,
  req: ClientRequest,
  res: ClientResponse,
  { path, query }: Extract<Target, { ok: true }>,
): Promise<Answer> {
  if (api === undefined) return refuse.nothingHere();
  const visit = visitOf(scheme, req);
  const { client } = visit;
  if (req.head.expectation === 'continue') res.writeContinue();
  const answered = new Promise<void>((resolve) => {
    res.owner = { isBounded: false, drained: () => {}, closed: () => resolve() };
  });
  const timer = setTimeout(() => {
    if (req.isComplete) return;
    faults.tell({ client, status: 408, reason: 'bad_request', rule: 'the body of a request to the API within 10 s' });
    res.breakOff();
  }, BODY_WITHIN);
  const view = nodeViewOf(req, res, path + query);
  api(view.req, view.res, visit);
  await answered;
  clearTimeout(timer);
  return null;
}

function visitOf(scheme: HttpParts['scheme'], req: ClientRequest): ApiVisit {
  const { headers } = req;
  const own = `${scheme}://${(req.header('host') ?? '').toLowerCase()}`;
  return {
    client: clientOf(req),
    letIn: (person) => req.letIn(person),
    authorizations: valuesOf(headers, 'authorization'),
    logins: cookiesNamed(valuesOf(headers, 'cookie'), SESSION_COOKIE),
    foreign: foreignRequest(req.method, headers, own),
    csrf: valuesOf(headers, 'daypass-csrf'),
    origins: [...valuesOf(headers, 'origin'), ...valuesOf(headers, 'sec-fetch-site')],
  };
}

/** Hands over the opening of a WebSocket, found well-formed: it is answered as any request, or its connection taken over. */
export function upgradeApi(
  { api, scheme }: HttpParts,
  req: ClientRequest,
  { socket, head }: { readonly socket: Duplex; readonly head: Buffer },
  { path, query }: Extract<Target, { ok: true }>,
): boolean {
  if (api === undefined || !(socket instanceof Socket)) return false;
  const message = messageOf(req, path + query);
  message.complete = true;
  message.push(null);
  const res = new ServerResponse(message);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  if (req.head.expectation === 'continue') res.writeContinue(); // before a 101, too (RFC 9110 section 7.8)
  res.once('finish', () => {
    res.detachSocket(socket);
    endSurely(socket);
  });
  api(message, res, { ...visitOf(scheme, req), upgrade: { socket, head } });
  return true;
}
