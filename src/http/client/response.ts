import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { letGo, reset } from '../../session/connection.js';
import { headerLines } from '../headers/header-line.js';
import type { Kept } from '../memory/reading.js';
import type { ClientRequest } from './request.js';

/** Who gives an answer, and hears how the client takes it. */
export interface ResponseOwner {
  /** It ends in time by itself, also when the client takes nothing: with its session. */
  readonly isBounded: boolean;
  /** The client takes more. */
  drained(): void;
  /** The answer is over. @param isWhole - all of it was given to the system, and to nobody who left before */
  closed(isWhole: boolean): void;
}

/** What is known of an answer before its body. */
export interface ResponseStart {
  readonly status: number;
  /** Header lines, each with its end, `Content-Length` among them if there is one; nothing else of framing and connection. */
  readonly lines: string;
  /** The lines say how long the body is. */
  readonly hasLength: boolean;
  /** The lines say when it was made. */
  readonly hasDate: boolean;
}

/** Values of headers of our own answers; one with several is sent once for each. */
export type OwnHeaders = Readonly<Record<string, string | number | readonly string[]>>;

/** How long a connection rests between two requests, milliseconds. */
export const KEEP_ALIVE = 65_000;
const KEPT = `Connection: keep-alive\r\nKeep-Alive: timeout=${KEEP_ALIVE / 1_000}\r\n`;
const LAST = 'Connection: close\r\n';
/** The answer to who expects it before more is said. */
export const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

/** The answer to one request (RFC 9112 section 4): framed by its length, in chunks, or by the end of the connection (HTTP/1.0). */
export class ClientResponse {
  readonly request: ClientRequest;
  /** Whether another request may follow; from the head on it stays as it is. */
  keepsAlive: boolean;
  /** All of it was given to the system. */
  isFinished = false;
  owner: ResponseOwner | null = null;
  readonly #socket: Socket;
  readonly #over: () => void;
  /** The head, as long as it waits for the first of the body. */
  #head = '';
  #hasBegun = false;
  #hasEnded = false;
  #giver: Pick<ServerResponse, 'headersSent' | 'writableEnded'> | null = null;
  #isChunked = false;
  #hasBody = true;
  #isClosed = false;

  /** @param over - called once all of it was given to the system */
  constructor(request: ClientRequest, over: () => void) {
    this.request = request;
    this.keepsAlive = request.head.keepsAlive;
    this.#socket = request.socket;
    this.#over = over;
  }

  /** The head was given, or will be with the first of the body. */
  get hasBegun(): boolean {
    return this.#hasBegun || this.#giver?.headersSent === true;
  }

  /** Nothing of it is to come any more; what was given may still wait for the client. */
  get hasEnded(): boolean {
    return this.#hasEnded || this.#giver?.writableEnded === true;
  }

  /** The client is gone, or nothing can be given to it any more. */
  get isGone(): boolean {
    return this.#socket.destroyed || !this.#socket.writable;
  }

  /** Tells a client that waits for it to send its body (RFC 9110 section 10.1.1). */
  writeContinue(): void {
    if (!this.hasBegun && !this.isGone) this.#socket.write(CONTINUE, 'latin1');
  }

  /** Begins: the head leaves with the first of the body. */
  begin({ status, lines, hasLength, hasDate }: ResponseStart): void {
    if (this.hasBegun) throw new Error('an answer has one head');
    this.#hasBegun = true;
    const { method, head } = this.request;
    this.#hasBody = method !== 'HEAD' && status !== 204 && status !== 304;
    const isFramed = hasLength || !this.#hasBody;
    this.#isChunked = !isFramed && head.version === '1.1';
    if (!isFramed && !this.#isChunked) this.keepsAlive = false;
    const connection = this.keepsAlive ? KEPT : LAST;
    const date = hasDate ? '' : `Date: ${httpDate()}\r\n`;
    const chunked = this.#isChunked ? 'Transfer-Encoding: chunked\r\n' : '';
    this.#head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n${lines}${date}${connection}${chunked}\r\n`;
  }

  /** An answer of our own, whole. @throws when a header cannot be sent as it is */
  send(status: number, headers: OwnHeaders, body = ''): void {
    const length = status === 204 || status === 304 ? {} : { 'content-length': Buffer.byteLength(body) };
    const pairs = Object.entries({ ...headers, ...length }).flatMap(([name, value]) =>
      (typeof value === 'object' ? value : [value]).map((one) => [name, String(one)] as const),
    );
    const lines = headerLines(pairs);
    if (lines === null) throw new Error('an answer of our own with a header that is none');
    this.begin({ status, lines, hasLength: true, hasDate: false });
    this.end(Buffer.from(body, 'utf8').toString('latin1'));
  }

  /** Sends the head alone. */
  flush(): void {
    if (this.#head === '' || this.isGone) return;
    this.#socket.write(this.#takeHead(), 'latin1');
  }

  /**
   * A piece of the body, which is released when the system has all of it, or the connection is closed; at once when nobody gets it.
   * @returns whether more may come; otherwise it comes after `drained`
   */
  write({ bytes, release }: Kept): boolean {
    const socket = this.#socket;
    // An empty chunk would be the last.
    if (this.isGone || this.hasEnded || !this.#hasBody || bytes.length === 0) {
      release();
      return true;
    }
    if (this.#head === '' && !this.#isChunked) return socket.write(bytes, release);
    socket.cork();
    const before = this.#isChunked ? `${this.#takeHead()}${bytes.length.toString(16)}\r\n` : this.#takeHead();
    if (before !== '') socket.write(before, 'latin1');
    let flowing = socket.write(bytes, release);
    if (this.#isChunked) flowing = socket.write('\r\n', 'latin1');
    socket.uncork();
    return flowing;
  }

  /** Ends it. @param rest - what is left of the body: each character a byte */
  end(rest = ''): void {
    if (this.hasEnded) return;
    this.#hasEnded = true;
    if (this.isGone) return;
    const body = this.#hasBody ? rest : '';
    const text = this.#takeHead() + (this.#isChunked ? lastChunks(body) : body);
    const socket = this.#socket;
    // Whether the system took it all is known at once, and a callback would cost a turn. TLS takes its time.
    if (text !== '') socket.write(text, 'latin1');
    if (socket.writableLength === 0) this.#finish();
    else
      socket.write('', 'latin1', (error) => {
        if (!error) this.#finish();
      });
  }

  /**
   * Ends the connection in the midst of it. Where no framing marks the end of a body (HTTP/1.0), a close looks like a clean end:
   * only a reset does not.
   */
  breakOff(): void {
    if (this.request.version === '1.0' && !this.isFinished) reset(this.#socket);
    else letGo(this.#socket);
  }

  /** For its connection alone: the client takes more. */
  drained(): void {
    if (!this.hasEnded) this.owner?.drained();
  }

  /** For its connection alone: the client is gone. */
  abandoned(): void {
    this.#close(false);
  }

  /** Somebody else gives the answer to the client (see `nodeViewOf`), and says when that is done. */
  givenBy(giver: Pick<ServerResponse, 'headersSent' | 'writableEnded'>): void {
    this.#giver = giver;
  }

  /** All of it was given so. */
  given(keepsAlive: boolean): void {
    this.keepsAlive &&= keepsAlive;
    this.#finish();
  }

  #takeHead(): string {
    const head = this.#head;
    this.#head = '';
    return head;
  }

  #finish(): void {
    if (this.#isClosed) return;
    this.isFinished = true;
    this.#close(true);
    this.#over();
  }

  #close(isWhole: boolean): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.owner?.closed(isWhole);
  }
}

function lastChunks(rest: string): string {
  return rest === '' ? '0\r\n\r\n' : `${rest.length.toString(16)}\r\n${rest}\r\n0\r\n\r\n`;
}

let dateAt = 0;
let dateText = '';

/** The time of day as HTTP has it (RFC 9110 section 5.6.7), which changes once a second. */
function httpDate(): string {
  const now = Math.floor(Date.now() / 1_000);
  if (now !== dateAt) {
    dateAt = now;
    dateText = new Date(now * 1_000).toUTCString();
  }
  return dateText;
}
