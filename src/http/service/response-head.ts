import type { Header } from '../action.js';
import { headerLines, readHeaderLine } from '../headers/header-line.js';
import { connectionList, membersOf, privately, responseHeaders, valuesOf, withheldFrom } from '../headers/headers.js';
import { MalformedMessage } from '../malformed.js';
import { type Coding, codingOf } from '../packed/coding.js';
import type { Addressed } from './target.js';

/** How the end of a body is found (RFC 9112 section 6.3): after so many bytes, by its chunks, or when the connection closes. */
export type Framing = number | 'chunked' | 'close';

/** More headers than this are refused. */
const MOST_HEADERS = 1_000;

/** RFC 9112 section 4. Each character has one place where it can belong, so that no head takes more than one look. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;

/** What a client is given of the head of an answer. */
export interface PassedOn {
  readonly addressed: Addressed;
  /** Header lines, each with its end (RFC 9112 section 5): a character is a byte. */
  readonly lines: string;
}

/** The head of a service's answer, and what follows from it alone. */
export class ResponseHead {
  readonly version: '1.0' | '1.1';
  readonly status: number;
  readonly headers: readonly Header[];
  readonly framing: Framing;
  /** Whether the connection may be used again after it. */
  readonly isKept: boolean;
  /** How long the service keeps it, seconds; null when it does not say. */
  readonly keptFor: number | null;
  readonly contentType: string | undefined;
  /** It says when it was made. */
  readonly hasDate: boolean;
  /** As what the body is packed; null: it is not. */
  readonly coding: Coding | null;
  #passedOn: PassedOn | null = null;
  #withheld: readonly string[] | null = null;
  #expiring: { readonly expires: string; readonly lines: string } | null = null;

  /** @throws MalformedMessage when the headers do not say for certain where the body ends */
  constructor(version: '1.0' | '1.1', status: number, headers: readonly Header[]) {
    this.version = version;
    this.status = status;
    this.headers = headers;
    this.framing = framingOf(version, headers);
    this.isKept = this.framing !== 'close' && isKept(version, headers);
    this.keptFor = keptFor(headers);
    this.contentType = valuesOf(headers, 'content-type')[0];
    this.hasDate = valuesOf(headers, 'date').length > 0 && !connectionList(headers).has('date');
    this.coding = codingOf(headers);
  }

  /** Whether a body follows (RFC 9110 sections 6.4.1, 9.3.2), and be it an empty one. */
  hasBody(method: string): boolean {
    return method !== 'HEAD' && this.status >= 200 && this.status !== 204 && this.status !== 304;
  }

  /**
   * What a client gets of it, who knows the service at another address.
   * @throws MalformedMessage when a line of it would be read as something else
   */
  passedOn(addressed: Addressed): PassedOn {
    if (this.#passedOn?.addressed === addressed) return this.#passedOn;
    // RFC 9110 section 8.6 knows no length of a 204: a proxy before the gateway that believes it takes the next answer for a body.
    const said = this.status === 204 ? this.headers.filter(([name]) => !isLength(name)) : this.headers;
    const lines = headerLines(privately(responseHeaders(said, addressed)));
    if (lines === null) throw new MalformedMessage('a header that cannot be passed on');
    this.#expiring = null;
    this.#withheld = null;
    this.#passedOn = { addressed, lines };
    return this.#passedOn;
  }

  /** The schemes of the challenges in it that a client does not get, who has what is passed on. */
  withheldFrom(addressed: Addressed): readonly string[] {
    this.#withheld ??= withheldFrom(this.headers, addressed);
    return this.#withheld;
  }

  /** The same, with when access ends. */
  expiring(addressed: Addressed, expires: string): string {
    const { lines } = this.passedOn(addressed);
    if (this.#expiring?.expires !== expires)
      this.#expiring = { expires, lines: `${lines}Daypass-Expires: ${expires}\r\n` };
    return this.#expiring.lines;
  }
}

/**
 * Reads the head of an answer.
 * @param text - its bytes as latin1, without the empty line at its end
 * @throws MalformedMessage
 */
export function readResponseHead(text: string): ResponseHead {
  const [first = '', ...lines] = text.split('\r\n');
  const [, minor, status] = STATUS_LINE.exec(first) ?? [];
  if (status === undefined) throw new MalformedMessage('no status line of HTTP/1.1');
  if (lines.length > MOST_HEADERS) throw new MalformedMessage(`more than ${MOST_HEADERS} headers`);
  return new ResponseHead(minor === '1' ? '1.1' : '1.0', Number(status), lines.map(readHeaderLine));
}

/** RFC 9112 section 6.3, without what it tolerates: two answers to where a body ends are none. */
function framingOf(version: '1.0' | '1.1', headers: readonly Header[]): Framing {
  const lengths = valuesOf(headers, 'content-length');
  const codings = valuesOf(headers, 'transfer-encoding');
  const [length] = lengths;
  if (codings.length > 0) {
    if (length !== undefined) throw new MalformedMessage('Content-Length and Transfer-Encoding');
    if (codings.length > 1 || codings[0]?.toLowerCase() !== 'chunked' || version !== '1.1')
      throw new MalformedMessage('a Transfer-Encoding that is not understood');
    return 'chunked';
  }
  if (length === undefined) return 'close';
  if (lengths.length > 1 || !/^\d{1,15}$/.test(length)) throw new MalformedMessage('no Content-Length that is one');
  return Number(length);
}

function isLength(name: string): boolean {
  return name.toLowerCase() === 'content-length';
}

/** RFC 9112 section 9.3. */
function isKept(version: '1.0' | '1.1', headers: readonly Header[]): boolean {
  const options = membersOf(valuesOf(headers, 'connection'));
  return !options.includes('close') && (version === '1.1' || options.includes('keep-alive'));
}

function keptFor(headers: readonly Header[]): number | null {
  const [seconds] = valuesOf(headers, 'keep-alive').flatMap(
    (value) => /(?:^|[\s,])timeout=(\d{1,6})/i.exec(value)?.[1] ?? [],
  );
  return seconds === undefined ? null : Number(seconds);
}

/** Whether an answer says no to what was asked for, or gives nothing: it is no page that a GET would have had. */
export function declines({ status }: ResponseHead): boolean {
  return status >= 300 || status === 204;
}

/** Whether an answer may come where an event stream is allowed: one, none, or word that there is none. */
export function mayFollow(head: ResponseHead): boolean {
  return declines(head) || /^text\/event-stream(?:$|[ \t]*;)/i.test(head.contentType ?? '');
}
