import { METHODS } from 'node:http';
import { ChunkReader } from '../body/chunks.js';
import { Head, type HttpVersion } from '../head.js';
import { readHeaderLine } from '../headers/header-line.js';
import { LastHead } from '../last-head.js';
import { MalformedMessage } from '../malformed.js';
import { HEAD_BYTES, TOO_LONG } from '../request.js';

/** The first line of a request (RFC 9112 section 3). */
export interface RequestLine {
  readonly method: string;
  /** As it stands there; `readTarget` says what it means. */
  readonly target: string;
  readonly version: HttpVersion;
}

/** Who hears a request as it is read. The bytes of the body are given away: the reader does not touch them again. */
export interface RequestHeard {
  /** A head. Where it has no body, or none that can be read, the request is over with it. */
  head(line: RequestLine, head: Head): void;
  body(bytes: Buffer): void;
  /** The body was whole. */
  end(): void;
}

/** Empty lines before a request: of more there could be any number, at less cost to who sends them than to us. */
const MOST_EMPTY = 16;

const [CR, LF] = [0x0d, 0x0a];
const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** RFC 9112 section 3: one blank at either place, and characters that end no line. What a target may hold `readTarget` knows. */
const LINE = /^([A-Z-]{1,32}) ([\x21-\x7e\x80-\xff]+) HTTP\/(1\.[01])$/;
const KNOWN = new Set(METHODS);

/** Where a head is told what cannot be one: any control character but those that end a line, and a tab. */
const CONTROL = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/;

/** Allowed (RFC 9110 section 5.6.3), and read differently all the same. */
const DOUBTFUL = /^(?:content-length|transfer-encoding|connection|upgrade):.*\t/i;

type State = 'head' | 'length' | 'chunks' | 'done';

/**
 * Reads the requests of one connection, one after the other, strictly (RFC 9112): a request has one meaning or is none, so that
 * nobody before or behind the gateway can take its end for another place (A6). Lines end with CRLF alone and are not folded;
 * methods are those that Node's parser knows, too.
 */
export class RequestReader {
  readonly #heard: RequestHeard;
  readonly #domain: string;
  readonly #chunks = new ChunkReader();
  #state: State = 'head';
  #left = 0;
  /** The last request line and headers: the same bytes are not read twice. */
  #lastLine: RequestLine | null = null;
  #lastText = '';
  readonly #last = new LastHead<Head>();
  /** Before the request that comes next. */
  #emptyLines = 0;
  /** The beginning of a head that is not whole yet. */
  #begun: Buffer | null = null;
  #begunBytes = 0;
  /** Whether the head that was looked at last is of a HEAD, for all that can be known of one that cannot be read. */
  asksForHead = false;

  /** @param domain - services are reached at `<service>.<domain>` */
  constructor(heard: RequestHeard, domain: string) {
    this.#heard = heard;
    this.#domain = domain;
  }

  /** Whether there is the beginning of a head, and no more of it. */
  get hasBegun(): boolean {
    return this.#begunBytes > 0;
  }

  /** Nothing is heard from here on. */
  stop(): void {
    this.#state = 'done';
    this.#begun = null;
    this.#begunBytes = 0;
  }

  /**
   * Reads on, to the end of a head or of a request at most; chunks are taken apart in the place of the bytes.
   * @returns where it stopped
   * @throws MalformedMessage
   */
  push(bytes: Buffer, at: number): number {
    if (this.#state === 'head') return this.#begunBytes > 0 ? this.#readOnHead(bytes, at) : this.#readHead(bytes, at);
    if (this.#state === 'length') return this.#readLength(bytes, at);
    if (this.#state === 'chunks') return this.#readChunks(bytes, at);
    return at;
  }

  #readHead(bytes: Buffer, at: number): number {
    this.asksForHead = isHead(bytes, at);
    const lf = bytes.indexOf(LF, at);
    if (lf === -1) return this.#readOnHead(bytes, at);
    if (bytes[lf - 1] !== CR || lf === at) throw new MalformedMessage('a line that ends without CR');
    if (lf === at + 1) return this.#emptyLine(lf + 1);
    const known = this.#last.at(bytes, lf + 1);
    if (known !== null) {
      const line = this.#readLine(bytes, at, lf - 1);
      if (line.version === known.version) {
        const next = lf + 1 + this.#last.length;
        if (next - at > HEAD_BYTES) return this.#cutShort(bytes, at);
        this.#follow(line, known);
        return next;
      }
    }
    const end = bytes.indexOf(END_OF_HEAD, lf - 1);
    if (end === -1) return this.#readOnHead(bytes, at);
    const next = end + END_OF_HEAD.length;
    if (next - at > HEAD_BYTES) return this.#cutShort(bytes, at);
    this.#readWhole(bytes, at, lf, end);
    return next;
  }

  /** Clients are known that send an empty line behind a body (RFC 9112 section 2.2). @returns where it stopped */
  #emptyLine(next: number): number {
    this.#emptyLines += 1;
    if (this.#emptyLines > MOST_EMPTY) throw new MalformedMessage('nothing but empty lines');
    return next;
  }

  /** @param end - where the end of the last line stands, and the empty line behind it */
  #readWhole(bytes: Buffer, at: number, lf: number, end: number): void {
    const line = this.#readLine(bytes, at, lf - 1);
    const lines = end < lf ? [] : bytes.toString('latin1', lf + 1, end).split('\r\n');
    if (lines.some((one) => DOUBTFUL.test(one)))
      throw new MalformedMessage('a tab in what says where the request ends');
    const head = new Head(line.version, lines.map(readHeaderLine), this.#domain);
    this.#follow(line, this.#last.keep(bytes.subarray(lf + 1, end + END_OF_HEAD.length), head));
  }

  #readLine(bytes: Buffer, at: number, end: number): RequestLine {
    const text = bytes.toString('latin1', at, end);
    if (this.#lastLine !== null && text === this.#lastText) return this.#lastLine;
    const line = readRequestLine(text);
    this.#lastText = text;
    this.#lastLine = line;
    return line;
  }

  /** Of a head that comes in pieces. */
  #readOnHead(bytes: Buffer, at: number): number {
    this.#begun ??= Buffer.allocUnsafe(HEAD_BYTES);
    const before = this.#begunBytes;
    const taken = bytes.copy(this.#begun, before, at);
    this.#begunBytes += taken;
    const seen = this.#begun.subarray(0, this.#begunBytes);
    this.asksForHead = isHead(seen, 0);
    if (seen[0] === CR && seen[1] === LF) {
      this.#begunBytes = 0;
      return this.#emptyLine(at + 2 - before);
    }
    const end = seen.indexOf(END_OF_HEAD, Math.max(0, before - END_OF_HEAD.length + 1));
    // What stands behind the head is its body's, and may be anything.
    refuseEarly(end === -1 ? seen : seen.subarray(0, end + END_OF_HEAD.length), before);
    if (end === -1) {
      if (at + taken < bytes.length || this.#begunBytes === HEAD_BYTES) this.#cutShort(seen, 0);
      return bytes.length;
    }
    this.#begun = null;
    this.#begunBytes = 0;
    this.#readWhole(seen, 0, seen.indexOf(LF), end);
    return at + end + END_OF_HEAD.length - before;
  }

  /** A head that is too long is heard as far as it goes, for what is answered all the same; nothing is read behind it. @returns where it stopped */
  #cutShort(bytes: Buffer, at: number): number {
    const text = bytes.toString('latin1', at, at + HEAD_BYTES);
    const begun = this.#readBeginning(text);
    if (begun === null) throw new MalformedMessage(`a head of more than ${HEAD_BYTES} bytes`, 431);
    this.#heard.head(begun.line, begun.head);
    return bytes.length;
  }

  /**
   * @param text - the beginning of a head: its last line is not whole
   * @returns null where not even its first line is there, or something in it is none of HTTP's
   */
  #readBeginning(text: string): { readonly line: RequestLine; readonly head: Head } | null {
    const [first, ...lines] = text.split('\r\n').slice(0, -1);
    try {
      const line = readRequestLine(first ?? '');
      if (line.method === 'CONNECT') return null;
      return { line, head: new Head(line.version, lines.map(readHeaderLine), this.#domain, TOO_LONG) };
    } catch {
      return null;
    }
  }

  #follow(line: RequestLine, head: Head): void {
    this.#emptyLines = 0;
    const { framing } = head;
    if (framing === 'chunked') {
      this.#chunks.reset();
      this.#state = 'chunks';
    } else if (framing > 0) {
      this.#left = framing;
      this.#state = 'length';
    }
    this.#heard.head(line, head);
  }

  #readLength(bytes: Buffer, at: number): number {
    const end = Math.min(at + this.#left, bytes.length);
    this.#left -= end - at;
    if (end > at) this.#heard.body(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    if (this.#left === 0) this.#end();
    return end;
  }

  #readChunks(bytes: Buffer, at: number): number {
    const chunks = this.#chunks;
    chunks.read(bytes, at);
    const { dataEnd, next, isOver } = chunks;
    if (dataEnd > at) this.#heard.body(bytes.subarray(at, dataEnd));
    if (isOver) this.#end();
    return next;
  }

  /** Whoever hears a request may have stopped this by now. */
  #end(): void {
    if (this.#state === 'done') return;
    this.#state = 'head';
    this.#heard.end();
  }
}

/**
 * Reads a request line without its end.
 * @throws MalformedMessage
 */
function readRequestLine(text: string): RequestLine {
  const [, method = '', target = '', version] = LINE.exec(text) ?? [];
  if (version !== '1.0' && version !== '1.1') throw new MalformedMessage('no request line of HTTP/1.1');
  if (!KNOWN.has(method)) throw new MalformedMessage('a method that nobody knows');
  return { method, target, version };
}

const HEAD = Buffer.from('HEAD ');

function isHead(bytes: Buffer, at: number): boolean {
  return bytes[at] === HEAD[0] && bytes.subarray(at, at + HEAD.length).equals(HEAD);
}

/** What cannot become a head is not waited for. */
function refuseEarly(seen: Buffer, before: number): void {
  const fresh = seen.toString('latin1', Math.max(0, before - 1));
  if (CONTROL.test(fresh) || /[^\r]\n|\r[^\n]/.test(fresh)) throw new MalformedMessage('a control character in a head');
  const first = seen[0] ?? 0;
  if (first !== CR && !(first >= 0x41 && first <= 0x5a)) throw new MalformedMessage('no request line of HTTP/1.1');
}
