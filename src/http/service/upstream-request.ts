import type { RequestBody } from '../body/body.js';
import type { Addressed } from './target.js';

/** What is sent to a service. `path` is the decided path with its query; both consist of legal characters only. */
export interface Forward {
  readonly method: string;
  readonly path: string;
  readonly addressed: Addressed;
  /** Header lines, each with its end, without those of the connection and of framing; null when they must not be sent. */
  readonly lines: string | null;
  readonly body: RequestBody | null;
}

/** A request that must not be sent: its bytes would not be read as what was decided. Nothing of it leaves. */
export class UnsendableRequest extends Error {}

const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const PATH = /^\/[\x21-\x7e\x80-\xff]*$/;
/** Methods that say something of a body even where there is none (RFC 9110 section 8.6). */
const EXPECT_BODY = new Set(['POST', 'PUT', 'PATCH', 'QUERY', 'PROPFIND', 'PROPPATCH']);
/** Methods that may be asked a second time, should it be unknown whether the first was heard (RFC 9110 section 9.2.1). */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Whether it may be sent: see `UnsendableRequest`. */
export function isSendable({ method, path, addressed, lines }: Forward): boolean {
  return lines !== null && METHOD.test(method) && PATH.test(addressed.basePath + path);
}

/**
 * The head of a request that may be sent; how its body ends follows from the body alone, whatever the method (A6).
 * @param connection - what becomes of its connection
 */
export function requestHead(
  { method, path, addressed, lines, body }: Forward,
  connection: 'close' | 'keep-alive' | 'upgrade' = isLast(method, body) ? 'close' : 'keep-alive',
): string {
  const { host, basePath } = addressed;
  const target = basePath + path;
  return `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: ${connection}\r\n${lines}${framingOf(method, body)}\r\n`;
}

function framingOf(method: string, body: RequestBody | null): string {
  if (body === null) return EXPECT_BODY.has(method) ? 'content-length: 0\r\n' : '';
  return body.length === null ? 'transfer-encoding: chunked\r\n' : `content-length: ${body.length}\r\n`;
}

/**
 * Whether nothing may follow on its connection: services are known that send a body in answer to HEAD, and that leave the
 * body of a request unread, of a POST too where a path takes none. On a connection that goes on that body is their next request, which
 * nobody has decided on ("CL.0"): where it may be read as one.
 */
export function isLast(method: string, body: RequestBody | null): boolean {
  return method === 'HEAD' || (body !== null && !(EXPECT_BODY.has(method) && body.isInert));
}

/** Whether it may be sent again when its connection ended without a word. */
export function isRepeatable({ method, body }: Forward): boolean {
  return body === null && SAFE.has(method);
}
