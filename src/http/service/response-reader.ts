import { ChunkReader } from '../body/chunks.js';
import { LastHead } from '../last-head.js';
import { MalformedMessage } from '../malformed.js';
import { faultOfInformational, faultOfInterim } from './informational.js';
import { type ResponseHead, readResponseHead } from './response-head.js';

/** Who hears an answer as it is read. The bytes are the reader's: what is kept of them is copied. */
export interface ResponseHeard {
  /** A head; informational ones (1xx) come before the one that counts, which is a 101 where it was asked for. */
  head(head: ResponseHead): void;
  /** Bytes of the body. With `isLast` the answer is whole: exactly once, without bytes where none are left. */
  body(bytes: Buffer, isLast: boolean): void;
}

/** Bytes of a head: more are refused. */
const MOST_BYTES = 32 * 1024;

const END_OF_HEAD = Buffer.from('\r\n\r\n');
const NOTHING = Buffer.alloc(0);

type State = 'head' | 'length' | 'chunks' | 'close' | 'done';

/**
 * Reads the answers of one connection to a service, one after the other, strictly (RFC 9112): what a client is given must not
 * depend on how somebody else would have read the same bytes.
 */
export class ResponseReader {
  readonly #last: LastHead<ResponseHead>;
  readonly #heard: ResponseHeard;
  readonly #chunks = new ChunkReader();
  #state: State = 'done';
  #method = '';
  #maySwitch = false;
  #left = 0;
  #informational = 0;
  /** The beginning of a head that is not whole yet. */
  #begun: Buffer | null = null;
  #begunBytes = 0;

  constructor(heard: ResponseHeard, last = new LastHead<ResponseHead>()) {
    this.#heard = heard;
    this.#last = last;
  }

  /**
   * An answer to this request comes next.
   * @param maySwitch - a 101 was asked for: what stands behind its head is no HTTP
   */
  begin(method: string, maySwitch = false): void {
    this.#method = method;
    this.#maySwitch = maySwitch;
    this.#state = 'head';
    this.#informational = 0;
  }

  /** Nothing is heard from here on. */
  stop(): void {
    this.#state = 'done';
  }

  /**
   * Reads what was received; chunks are taken apart in its place.
   * @returns how many bytes stand behind the end of the answer
   * @throws MalformedMessage
   */
  push(bytes: Buffer): number {
    let at = 0;
    while (this.#state === 'head' && at < bytes.length) at = this.#readHead(bytes, at);
    if (this.#state === 'length') return this.#readLength(bytes, at);
    if (this.#state === 'chunks') return this.#readChunks(bytes, at);
    if (this.#state === 'done') return bytes.length - at;
    if (this.#state === 'close' && at < bytes.length) this.#heard.body(from(bytes, at, bytes.length), false);
    return 0;
  }

  /** The service has closed. @throws MalformedMessage when its answer is not whole */
  finish(): void {
    if (this.#state === 'done') return;
    if (this.#state !== 'close') throw new MalformedMessage('the service closed before its answer was whole');
    this.#end();
  }

  /** @returns where it stopped */
  #readHead(bytes: Buffer, at: number): number {
    const known = this.#begunBytes === 0 ? this.#last.at(bytes, at) : null;
    if (known !== null) {
      this.#headIs(known);
      return at + this.#last.length;
    }
    return this.#begunBytes === 0 ? this.#readWholeHead(bytes, at) : this.#readOnHead(bytes, at);
  }

  #readWholeHead(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(END_OF_HEAD, at) + END_OF_HEAD.length;
    if (end < at + END_OF_HEAD.length) return this.#readOnHead(bytes, at);
    if (end - at > MOST_BYTES) throw new MalformedMessage(`a head of more than ${MOST_BYTES} bytes`);
    this.#headIs(this.#read(from(bytes, at, end)));
    return end;
  }

  /** Of a head that comes in pieces. */
  #readOnHead(bytes: Buffer, at: number): number {
    this.#begun ??= Buffer.allocUnsafe(MOST_BYTES);
    const before = this.#begunBytes;
    this.#begunBytes += bytes.copy(this.#begun, before, at);
    const seen = this.#begun.subarray(0, this.#begunBytes);
    const end = seen.indexOf(END_OF_HEAD, Math.max(0, before - END_OF_HEAD.length + 1)) + END_OF_HEAD.length;
    refuseEarly(end < END_OF_HEAD.length ? seen : seen.subarray(0, end), before);
    if (end < END_OF_HEAD.length) {
      if (this.#begunBytes === MOST_BYTES) throw new MalformedMessage(`a head of more than ${MOST_BYTES} bytes`);
      return bytes.length;
    }
    this.#begun = null;
    this.#begunBytes = 0;
    this.#headIs(this.#read(seen.subarray(0, end)));
    return at + end - before;
  }

  /** @param bytes - a whole head */
  #read(bytes: Buffer): ResponseHead {
    const text = bytes.toString('latin1', 0, bytes.length - END_OF_HEAD.length);
    return this.#last.keep(bytes, readResponseHead(text));
  }

  #headIs(head: ResponseHead): void {
    if (head.status < 200) return this.#informed(head);
    const framing = head.hasBody(this.#method) ? head.framing : 0;
    this.#left = typeof framing === 'number' ? framing : 0;
    this.#state = framing === 'chunked' ? 'chunks' : framing === 'close' ? 'close' : 'length';
    if (framing === 'chunked') this.#chunks.reset();
    this.#heard.head(head);
    if (framing === 0 && this.#state === 'length') this.#end();
  }

  #informed(head: ResponseHead): void {
    this.#informational += 1;
    const isSwitch = this.#maySwitch && head.status === 101;
    const fault = isSwitch ? faultOfInformational(head) : faultOfInterim(head, this.#informational);
    if (fault !== null) throw new MalformedMessage(fault);
    if (isSwitch) this.#state = 'done';
    this.#heard.head(head);
  }

  #readLength(bytes: Buffer, at: number): number {
    const end = Math.min(at + this.#left, bytes.length);
    this.#left -= end - at;
    const isLast = this.#left === 0;
    if (isLast) this.#state = 'done';
    if (end > at) this.#heard.body(from(bytes, at, end), isLast);
    return bytes.length - end;
  }

  #readChunks(bytes: Buffer, at: number): number {
    const chunks = this.#chunks;
    chunks.read(bytes, at);
    const { dataEnd, next, isOver } = chunks;
    if (isOver) this.#state = 'done';
    if (isOver || dataEnd > at) this.#heard.body(from(bytes, at, dataEnd), isOver);
    return bytes.length - next;
  }

  #end(): void {
    this.#state = 'done';
    this.#heard.body(NOTHING, true);
  }
}

const BEGINNING = Buffer.from('HTTP/1.');
const [CR, LF] = [0x0d, 0x0a];

/** What cannot become a head is not waited for. */
function refuseEarly(seen: Buffer, before: number): void {
  const length = Math.min(seen.length, BEGINNING.length);
  if (seen.compare(BEGINNING, 0, length, 0, length) !== 0) throw new MalformedMessage('no status line of HTTP/1.1');
  for (let at = seen.indexOf(LF, before); at !== -1; at = seen.indexOf(LF, at + 1)) {
    if (seen[at - 1] !== CR) throw new MalformedMessage('a line that ends without CR');
  }
}

function from(bytes: Buffer, at: number, end: number): Buffer {
  return at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end);
}
