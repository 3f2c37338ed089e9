import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { messageOf } from '../../errors.js';
import type { Admission } from '../../gate/admission.js';
import type { Header } from '../action.js';
import { headerLines } from '../headers/header-line.js';
import { readIntoOurs } from '../memory/own-reading.js';
import { type OutlivedWrites, outliveWrites } from '../service/outlived-writes.js';
import type { ResponseHead } from '../service/response-head.js';
import { type ResponseHeard, ResponseReader } from '../service/response-reader.js';
import { tellEnd } from '../service/said-end.js';
import type { Addressed } from '../service/target.js';
import { wayTo } from '../service/upstream.js';
import type { UpstreamLimits } from '../service/upstream-pool.js';
import { type Forward, isSendable, requestHead, UnsendableRequest } from '../service/upstream-request.js';
import { faultOf101, type Wish } from './handshake.js';

/** What a service is asked for. */
export interface Asked {
  readonly path: string;
  readonly addressed: Addressed;
  readonly headers: readonly Header[];
  readonly wish: Wish;
  readonly limits: UpstreamLimits;
}

/** What comes of asking a service for a WebSocket; exactly one of `opened`, `declined` and `failed` is called, once. */
export interface DialHandler {
  /** The head of its answer was read: of a valid 101, or of any other one. */
  answered(): void;
  /** A valid 101: `rest` is what the service sent right behind it. */
  opened(socket: Duplex, headers: readonly Header[], rest: Buffer): void;
  /** Any other answer, whole: nothing is tunnelled. */
  declined(head: ResponseHead, body: Buffer): void;
  failed(why: string, timeout: boolean): void;
}

/** Cancels a dial under way. */
export type Cancel = () => void;

/** How much of an answer other than 101 is passed on, bytes. */
const DECLINED_BYTES = 64 * 1024;

/**
 * Asks a service for a WebSocket, on a connection of its own that is never used for anything else (A5). The key is ours, and
 * no extension is offered: compressed messages could not be recorded as they are.
 */
export function dialWebSocket(admission: Admission, asked: Asked, handler: DialHandler): Cancel {
  const key = randomBytes(16).toString('base64');
  const lines = headerLines([...asked.headers, ...ownHeaders(key, asked.wish)]);
  const forward = { method: 'GET', path: asked.path, addressed: asked.addressed, lines, body: null };
  try {
    if (!isSendable(forward)) throw new UnsendableRequest('not a request');
    const dialling = new Dialling(admission, { ...asked, key, forward }, handler);
    return () => dialling.cancel();
  } catch (thrown) {
    handler.failed(messageOf(thrown), false); // TLS takes no certificate of ours that is too weak for it
    return () => {};
  }
}

/** What can be sent, and by what its answer is judged. */
interface Sendable extends Pick<Asked, 'wish' | 'limits'> {
  readonly key: string;
  readonly forward: Forward;
}

/** One opening, from its connection to the answer: read as any answer is, and only then given away. */
class Dialling implements ResponseHeard {
  readonly #asked: Sendable;
  readonly #handler: DialHandler;
  readonly #socket: Socket;
  readonly #writes: OutlivedWrites;
  readonly #reader = new ResponseReader(this);
  #timer: NodeJS.Timeout;
  #head: ResponseHead | null = null;
  readonly #body: Buffer[] = [];
  #bytes = 0;
  #isWhole = false;
  #isOver = false;

  constructor(admission: Admission, asked: Sendable, handler: DialHandler) {
    this.#asked = asked;
    this.#handler = handler;
    const { socket, ready } = wayTo(admission)(null, null);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#fail('no connection in time', true), asked.limits.connect);
    socket.once(ready, () => this.#connected());
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    // A service may say its last, and close, while it is written to: now, and when it is open. Behind our own listener of the end.
    this.#writes = outliveWrites(socket);
  }

  cancel(): void {
    this.#settle();
    this.#socket.destroy();
  }

  head(head: ResponseHead): void {
    if (head.status < 200 && head.status !== 101) return;
    const { key, wish } = this.#asked;
    const fault = head.status === 101 ? faultOf101(head, key, wish) : null;
    if (fault !== null) throw new Error(fault);
    this.#head = head;
    this.#handler.answered();
  }

  body(bytes: Buffer, isLast: boolean): void {
    this.#bytes += bytes.byteLength;
    if (this.#bytes > DECLINED_BYTES) throw new Error('a refusal that is too long');
    this.#body.push(Buffer.from(bytes));
    this.#isWhole = isLast;
  }

  #connected(): void {
    const { forward, limits } = this.#asked;
    clearTimeout(this.#timer);
    const late = () => this.#fail(this.#head === null ? 'no answer in time' : 'half an answer', true);
    this.#timer = setTimeout(late, limits.response);
    this.#socket.on('data', this.#onData);
    this.#reader.begin('GET', true);
    this.#socket.write(requestHead(forward, 'upgrade'), 'latin1');
  }

  readonly #onData = (bytes: Buffer) => this.#read(bytes, () => this.#reader.push(bytes));

  readonly #onEnd = () => {
    tellEnd(this.#socket, this.#writes, false, (fault) =>
      this.#read(NOTHING, () => {
        if (fault !== null) throw fault;
        this.#reader.finish();
        return 0;
      }),
    );
  };

  readonly #onError = (error: Error) => this.#fail(error.message);

  readonly #onClose = () => this.#fail('the service closed the connection');

  /** @param read - says how many of these bytes stand behind the answer */
  #read(bytes: Buffer, read: () => number): void {
    let behind: number;
    try {
      behind = read();
    } catch (thrown) {
      return this.#fail(messageOf(thrown));
    }
    const head = this.#head;
    if (head === null || this.#isOver) return;
    if (head.status === 101) this.#open(head, bytes.subarray(bytes.byteLength - behind));
    else if (this.#isWhole) this.#decline(head);
    else this.#timer.refresh();
  }

  #open({ headers }: ResponseHead, rest: Buffer): void {
    const socket = this.#socket;
    this.#settle();
    readIntoOurs(socket);
    socket.allowHalfOpen = true; // a service may end its side alone, and still read what is on its way
    this.#handler.opened(socket, headers, rest);
  }

  #decline(head: ResponseHead): void {
    this.cancel();
    this.#handler.declined(head, Buffer.concat(this.#body));
  }

  #fail(why: string, timeout = false): void {
    if (this.#isOver) return;
    this.cancel();
    this.#handler.failed(why, timeout);
  }

  /** Nothing is heard from here on; nothing of this stays with the connection, which may last for days. */
  #settle(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#reader.stop();
    this.#socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose);
    this.#socket.on('error', unheard).off('error', this.#onError);
  }
}

const NOTHING = Buffer.alloc(0);

function unheard(): void {}

function ownHeaders(key: string, { protocols }: Wish): Header[] {
  const offered: Header[] = protocols.length > 0 ? [['sec-websocket-protocol', protocols.join(', ')]] : [];
  return [['upgrade', 'websocket'], ['sec-websocket-version', '13'], ['sec-websocket-key', key], ...offered];
}
