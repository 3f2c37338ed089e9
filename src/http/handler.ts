import type { Duplex } from 'node:stream';
import type { HttpProxies } from '../config/proxies.js';
import type { ClientConnection, RequestHandler } from './client/connection.js';
import type { ClientRequest } from './client/request.js';
import type { ClientResponse } from './client/response.js';
import { serveRequest } from './dispatch.js';
import { CutShort, type MalformedMessage } from './malformed.js';
import type { HttpParts } from './parts.js';
import { type Refusal, rawRefusal, refusalFor, sendRawRefusal, sendRefusal } from './refusals/deny.js';
import { TOO_LONG } from './request.js';
import { METHODS } from './rules/override.js';
import { serveUpgrade } from './websocket/upgrade.js';
import { clientAt, clientOf, noteWhence } from './whence.js';

/**
 * Where what comes on clients' connections goes: to a service, or to a refusal.
 * @param proxies - before anything else looks at a request, what they say of it is noted
 */
export function handlerOf(parts: HttpParts, proxies?: HttpProxies): RequestHandler {
  const note = (req: ClientRequest) => {
    if (proxies !== undefined) noteWhence(req, proxies);
  };
  return {
    request(req, res) {
      note(req);
      if (req.head.expectation === 'other') return refuseExpectation(parts, req, res);
      serveRequest(parts, req, res, (thrown) => failed(parts, thrown, req, res));
    },
    upgrade(req, socket, rest) {
      note(req);
      if (req.head.expectation === 'other') return sendRawRefusal(socket, req, tellExpectation(parts, req));
      serveUpgrade(parts, req, socket, rest).catch((thrown) => {
        parts.faults.ours(clientOf(req), thrown, 'a WebSocket could not be served');
        socket.destroy();
      });
    },
    connect(req, socket) {
      note(req);
      refuseConnect(parts, req, socket);
    },
    unreadable: (connection, error) => answerUnreadable(parts, connection, error),
    failed: ({ socket }, thrown) =>
      parts.faults.ours(clientAt(socket), thrown, 'what came on a connection could not be read'),
  };
}

function refuseExpectation(parts: HttpParts, req: ClientRequest, res: ClientResponse): void {
  const refusal = tellExpectation(parts, req);
  req.asked.refused();
  req.asked.settle();
  sendRefusal(res, refusal, true);
  req.drop();
}

function tellExpectation(parts: HttpParts, req: ClientRequest): Refusal {
  const refusal = {
    status: 417,
    reason: 'bad_request',
    detail: 'This expectation is not understood.',
    hint: 'leave out Expect',
  };
  parts.faults.tell({ client: clientOf(req), status: 417, reason: refusal.reason, rule: 'Expect: 100-continue alone' });
  return refusal;
}

function refuseConnect(parts: HttpParts, req: ClientRequest, socket: Duplex): void {
  const refusal = { status: 405, reason: 'bad_request', detail: 'This gateway is no forward proxy.', allow: METHODS };
  parts.faults.tell({ client: clientOf(req), status: 405, reason: refusal.reason, rule: 'no forward proxy' });
  sendRawRefusal(socket, req, refusal);
}

/** A fault of our own: nothing passes, and the client learns no more than that. */
function failed({ faults }: HttpParts, thrown: unknown, req: ClientRequest, res: ClientResponse): void {
  faults.ours(clientOf(req), thrown, 'a request could not be served');
  if (res.hasBegun || res.isGone) return res.breakOff();
  const refusal = {
    status: 500,
    reason: 'internal',
    detail: 'The gateway failed to serve this request; nothing was forwarded.',
  };
  sendRefusal(res, refusal, true);
}

/** Answers bytes that are no request, or no longer one (a body that breaks its framing), and closes. */
function answerUnreadable({ faults }: HttpParts, connection: ClientConnection, error: MalformedMessage): void {
  const { socket, request, response } = connection;
  const refusal = unreadable(error);
  const { status, reason } = refusal;
  const client = request === null ? clientAt(socket) : clientOf(request);
  const tell = () => faults.tell({ client, status, reason, rule: 'readable request', why: error.message });
  if (request === null) tell();
  else request.asked.unreadable(tell);
  const why = error instanceof CutShort ? 'client_left' : 'protocol_error';
  if (request?.owner?.unreadable(refusal, why) === true) return;
  if (response?.hasBegun === true) response.breakOff();
  else if (!socket.writable) socket.destroy();
  // And no more: whatever else comes is read and dropped for a while, or a reset would take this back from whoever is amid sending.
  else socket.end(rawRefusal(request ?? (connection.asksForHead ? UNREADABLE_HEAD : null), refusal));
}

/** Its refusal has no body either, whatever else is wrong with it (RFC 9110 section 9.3.2). */
const UNREADABLE_HEAD = { method: 'HEAD', target: '', headers: [] };

function unreadable({ status }: MalformedMessage): Refusal {
  if (status === 431) return TOO_LONG;
  if (status === 413) return refusalFor('too_large', 'What stands beside the chunks of the request is too large.');
  if (status === 408) return { status: 408, reason: 'bad_request', detail: 'The head of the request took too long.' };
  return { status: 400, reason: 'bad_request', detail: 'This is not a request that HTTP/1.1 allows.' };
}
