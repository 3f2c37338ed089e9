import { randomBytes } from 'node:crypto';
import { type ClientRequest, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { messageOf } from '../../errors.js';
import type { Admission } from '../../gate/admission.js';
import { lookupOnce as lookup } from '../../lookup.js';
import type { Header } from '../action.js';
import { pairs } from '../headers/headers.js';
import { readIntoOurs } from '../memory/own-reading.js';
import { faultOfInterim } from '../service/informational.js';
import { outliveWrites } from '../service/outlived-writes.js';
import { reachedAt } from '../service/reached.js';
import { hasSaidItsEnd, UNSAID } from '../service/said-end.js';
import { upstreamOf } from '../service/target.js';
import type { UpstreamLimits } from '../service/upstream-pool.js';
import { type AnswerHead, faultOf101, faultOfInformational, type Wish } from './handshake.js';
import { OpeningAnswer } from './opening-answer.js';

/** What comes of asking a service for a WebSocket; exactly one of them is called, once. */
export interface DialHandler {
  /** A valid 101: `head` is what the service sent right behind it. */
  opened(socket: Duplex, headers: readonly Header[], head: Buffer): void;
  /** Any other answer: nothing is tunnelled. */
  declined(response: IncomingMessage): void;
  failed(why: string, timeout: boolean): void;
}

/** Cancels a dial under way. */
export type Cancel = () => void;

/**
 * Asks a service for a WebSocket, on a connection of its own that is never used for anything else (A5). The key is ours, and
 * no extension is offered: compressed messages could not be recorded as they are.
 */
export function dialWebSocket(
  admission: Admission,
  options: { path: string; host: string; headers: readonly Header[]; wish: Wish; limits: UpstreamLimits },
  handler: DialHandler,
): Cancel {
  const key = randomBytes(16).toString('base64');
  const headers = { ...collected([...options.headers, ...ownHeaders(key, options.wish)]), host: options.host };
  const req = open(admission, options.path, headers);
  let settled = false;
  const settle = (act: () => void) => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    clearTimeout(connecting);
    act();
  };
  const fail = (why: string, timeout = false) => {
    settle(() => {
      handler.failed(why, timeout);
      req.destroy();
    });
  };
  const timer = setTimeout(() => fail('no answer in time', true), options.limits.response);
  const connecting = setTimeout(() => fail('no connection in time', true), options.limits.connect);
  const strictly = new OpeningAnswer();
  req.once('socket', (socket) => {
    readAlong(socket, strictly, fail);
    socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => clearTimeout(connecting));
  });
  let informational = 0;
  req.on('information', (answer) => {
    informational += 1;
    const fault = faultOfInterim(answer.statusCode, informational) ?? faultOfInformational(headOf(answer));
    if (fault !== null) fail(fault);
  });
  req.on('upgrade', (response, socket, rest) => {
    socket.on('error', ignore);
    const head = headOf(response);
    const fault = settled || !strictly.isRead ? 'too late, or no head' : faultOf101(head, key, options.wish);
    if (fault === null) {
      readIntoOurs(socket);
      outliveWrites(socket); // a service may say its last, and close, while it is written to
      socket.allowHalfOpen = true; // or end its side alone, and still read what is on its way
      settle(() => handler.opened(socket, head.headers, rest));
    } else {
      socket.destroy();
      fail(fault);
    }
  });
  req.on('response', (response) => {
    // Node gives a 101 without Upgrade out as a plain answer.
    if ((response.statusCode ?? 0) < 200 || !strictly.isRead) fail('a 101 without Upgrade, or no head');
    else {
      breakWhereCut(response);
      settle(() => handler.declined(response));
    }
  });
  req.on('error', (error) => fail(error.message));
  req.end();
  return () => {
    settle(() => {});
    req.destroy();
  };
}

/** Made once: one that is made beside what came behind an opening would hold that as long as the WebSocket is open. */
function ignore(): void {}

/** Has an answer read along, before anything is made of it. */
function readAlong(socket: Socket, answer: OpeningAnswer, fail: (why: string) => void): void {
  const came = (bytes: Buffer) => {
    try {
      answer.push(bytes);
      if (answer.isRead) socket.off('data', came);
    } catch (thrown) {
      socket.off('data', came);
      fail(messageOf(thrown));
    }
  };
  socket.prependListener('data', came);
}

/** An answer that its end delimits is whole only if the service said that end: Node takes any, a reset too. */
function breakWhereCut(response: IncomingMessage): void {
  const { socket } = response;
  const broken = (error: Error) => {
    if (!response.complete) response.destroy(error);
  };
  socket.prependListener('error', broken);
  socket.prependOnceListener('end', () => {
    if (!hasSaidItsEnd(socket)) broken(new Error(UNSAID));
  });
}

function headOf(answer: Pick<IncomingMessage, 'httpVersion' | 'statusCode' | 'rawHeaders'>): AnswerHead {
  return { version: answer.httpVersion, status: answer.statusCode ?? 0, headers: pairs(answer.rawHeaders) };
}

function open(admission: Admission, path: string, headers: OutgoingHttpHeaders): ClientRequest {
  const { url, tls } = upstreamOf(admission);
  const { host, port, isSecure, servername } = reachedAt(url);
  const request = isSecure ? httpsRequest : httpRequest;
  return request({
    // Node would take the name to ask for, and to verify, from the Host header.
    ...(isSecure ? { ...tls, servername, rejectUnauthorized: true } : {}),
    host,
    port,
    lookup,
    method: 'GET',
    path: `${url.basePath}${path}`,
    headers,
    agent: false,
  });
}

function ownHeaders(key: string, { protocols }: Wish): Header[] {
  const offered: Header[] = protocols.length > 0 ? [['sec-websocket-protocol', protocols.join(', ')]] : [];
  return [
    ['connection', 'Upgrade'],
    ['upgrade', 'websocket'],
    ['sec-websocket-version', '13'],
    ['sec-websocket-key', key],
    ...offered,
  ];
}

function collected(headers: readonly Header[]): Record<string, string[]> {
  const map: Record<string, string[]> = Object.create(null);
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    const values = map[key];
    if (values === undefined) map[key] = [value];
    else values.push(value);
  }
  return map;
}
