import { type RequestLine, RequestReader } from '../../src/http/client/request-reader.js';
import type { Head } from '../../src/http/head.js';
import { MalformedMessage } from '../../src/http/malformed.js';
import type { Refusal } from '../../src/http/refusals/deny.js';

/** Requests as text, each character a byte. */
export const get = (...lines: readonly string[]) =>
  `${['GET / HTTP/1.1', 'Host: web.test', ...lines].join('\r\n')}\r\n\r\n`;
export const post = (framing: string, body: string) =>
  `POST /in HTTP/1.1\r\nHost: web.test\r\n${framing}\r\n\r\n${body}`;
export const chunked = (body: string) => post('Transfer-Encoding: chunked', body);
const chunkedWith = (lines: readonly string[], body: string) =>
  post([...lines, 'Transfer-Encoding: chunked'].join('\r\n'), body);
const UPGRADE = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
const H2C = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA'];

/** Requests that nobody could take for something else, as they come on one connection, and their bodies. */
export const WELL_FORMED: Readonly<Record<string, readonly [bytes: string, ...bodies: string[]]>> = {
  'no headers': ['GET / HTTP/1.1\r\n\r\n', ''],
  'no headers, twice': ['GET / HTTP/1.1\r\n\r\n'.repeat(2), '', ''],
  'one header': [get(), ''],
  'the same head again and again': [get('Accept: */*').repeat(3), '', '', ''],
  'other targets with the same headers': [get() + get().replace('/', '/other') + get(), '', '', ''],
  'a body of a length': [post('Content-Length: 5', 'hello'), 'hello'],
  'a body of no length': [post('Content-Length: 0', '') + get(), '', ''],
  'a body that looks like a request': [post(`Content-Length: ${get().length}`, get()) + get(), get(), ''],
  'a body of any bytes': [post('Content-Length: 9', '\0\n\r\r\n\r\n\x7f\xff') + get(), '\0\n\r\r\n\r\n\x7f\xff', ''],
  'the same body thrice': [post('Content-Length: 2', 'ab').repeat(3), 'ab', 'ab', 'ab'],
  'a body with GET': [get('Content-Length: 3').concat('abc') + get(), 'abc', ''],
  chunks: [chunked('5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n'), 'hello world'],
  'chunks twice': [chunked('1\r\na\r\n0\r\n\r\n').repeat(2) + get(), 'a', 'a', ''],
  'no chunks': [chunked('0\r\n\r\n') + get(), '', ''],
  'chunks of any bytes': [chunked('a\r\n\0\r\n0\r\n\r\n\n\xff\r\n0\r\n\r\n') + get(), '\0\r\n0\r\n\r\n\n\xff', ''],
  'chunk sizes in either case, and with zeros': [
    chunked(`00a\r\n0123456789\r\nA\r\n${'x'.repeat(10)}\r\n000\r\n\r\n`),
    `0123456789${'x'.repeat(10)}`,
  ],
  'chunk extensions': [chunked('2;a;b=c;d="e\\"; f"\r\nhi\r\n0;last\r\n\r\n'), 'hi'],
  trailers: [chunked('2\r\nhi\r\n0\r\nX: y\r\nEtag: "z"\r\n\r\n') + get(), 'hi', ''],
  'a coding in other case': [post('transfer-encoding: CHUNKED', '1\r\na\r\n0\r\n\r\n'), 'a'],
  'HTTP/1.0': ['GET / HTTP/1.0\r\n\r\n', ''],
  'HTTP/1.0 with a body': ['POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi', 'hi'],
  'HTTP/1.0 that stays': ['GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'.repeat(2), '', ''],
  'HTTP/1.0 and 1.1 with the same headers': [
    ['0', '1', '0'].map((minor) => `GET / HTTP/1.${minor}\r\nConnection: Keep-Alive\r\n\r\n`).join(''),
    '',
    '',
    '',
  ],
  'the last one': [get('Connection: close'), ''],
  'empty lines before a request': [`\r\n\r\n${get()}\r\n${get()}`, '', ''],
  'empty lines behind bodies': [
    `${post('Content-Length: 2', 'ab')}\r\n${chunked('1\r\na\r\n0\r\n\r\n')}\r\n${get()}`,
    'ab',
    'a',
    '',
  ],
  'blanks around values, and none': [get('A: \t b c\t ', 'D:', 'E:f', 'G: \xe4\x80\xff'), ''],
  'names of all characters': [get("!#$%&'*+.^_`|~09AZaz-: x", 'a_b: c', 'a-b: d'), ''],
  'other methods and targets': [
    'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\nDELETE /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nM-SEARCH http://x/ HTTP/1.1\r\n\r\n',
    '',
    '',
    '',
  ],
  'an expectation': [post('Expect: 100-continue\r\nContent-Length: 2', 'ok'), 'ok'],
  'an Upgrade that is not in Connection': [get('Upgrade: websocket') + get(), '', ''],
  'a WebSocket behind a request': [get() + get(...UPGRADE, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='), '', ''],
  'an offer of HTTP/2': [get(...H2C) + get(), '', ''],
  'an offer of HTTP/2 with a body': [
    post([...H2C, `Content-Length: ${get().length}`].join('\r\n'), get()) + get(...H2C),
    get(),
    '',
  ],
  'an offer of HTTP/2 with chunks': [chunkedWith(H2C, '5\r\nhello\r\n0\r\n\r\n') + get(), 'hello', ''],
  'a WebSocket in HTTP/1.0': [
    get(...UPGRADE, 'Connection: keep-alive').replace('1.1', '1.0') + get('Upgrade: tls/1.0', 'Connection: upgrade'),
    '',
    '',
  ],
  'a long pipeline': [
    [get(), post('Content-Length: 2', 'ab'), chunked('1\r\na\r\n0\r\n\r\n')].join('').repeat(3),
    ...['', 'ab', 'a', '', 'ab', 'a', '', 'ab', 'a'],
  ],
};

/** One request that was read whole. */
export interface Whole {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly headers: readonly string[];
  readonly body: string;
  readonly takesOver: boolean;
}

/** What was made of what came on one connection. */
export interface Read {
  readonly whole: readonly Whole[];
  readonly heads: readonly Head[];
  /** Why the rest is refused, and with which status. */
  readonly why: string | null;
  readonly status: number | null;
  /** No other request may follow. */
  readonly isOver: boolean;
}

/** Hears requests as a connection does: behind the last one, a fault or what takes the connection over nothing is read. */
class Hearing {
  readonly whole: Whole[] = [];
  readonly heads: Head[] = [];
  isOver = false;
  fault: Refusal | null = null;
  #line: RequestLine | null = null;
  #body = '';

  head(line: RequestLine, head: Head): void {
    this.#line = line;
    this.#body = '';
    this.heads.push(head);
    const takesOver = line.method === 'CONNECT' || head.wantsUpgrade;
    this.fault = head.fault;
    if (this.fault === null && (head.framing === 0 || takesOver)) this.#add(takesOver);
    this.isOver ||= takesOver || this.fault !== null;
  }

  body(bytes: Buffer): void {
    this.#body += bytes.toString('latin1');
  }

  end(): void {
    this.#add(false);
  }

  #add(takesOver: boolean): void {
    const [line, head] = [this.#line, this.heads.at(-1)];
    if (line === null || head === undefined) throw new Error('an end without a head');
    this.#line = null;
    this.whole.push({ ...line, headers: head.headers.flat(), body: this.#body, takesOver });
    this.isOver = !head.keepsAlive;
  }
}

/** Reads what comes on one connection in these pieces. */
export function read(pieces: readonly Buffer[]): Read {
  const hearing = new Hearing();
  const reader = new RequestReader(hearing, 'test');
  const { whole, heads } = hearing;
  try {
    for (const piece of pieces) {
      let rest = Buffer.from(piece); // chunks are taken apart in it
      while (rest.length > 0 && !hearing.isOver) rest = rest.subarray(reader.push(rest, 0));
    }
  } catch (thrown) {
    if (!(thrown instanceof MalformedMessage)) throw thrown;
    return { whole, heads, why: thrown.message, status: thrown.status, isOver: true };
  }
  const { fault, isOver } = hearing;
  return { whole, heads, why: fault?.detail ?? null, status: fault?.status ?? null, isOver };
}

export const bytesOf = (text: string) => Buffer.from(text, 'latin1');
export const readText = (text: string) => read([bytesOf(text)]);
export const same = (one: Read, other: Read) =>
  (one.why === null) === (other.why === null) && JSON.stringify(one.whole) === JSON.stringify(other.whole);

/** In pieces of these lengths, again and again. */
export function inPieces(bytes: Buffer, ...lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieces.at(-1)?.length ?? 1) {
    pieces.push(bytes.subarray(at, at + (lengths[pieces.length % lengths.length] ?? 1)));
  }
  return pieces;
}
