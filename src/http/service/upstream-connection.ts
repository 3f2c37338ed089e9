import type { OnReadOpts, Socket } from 'node:net';
import { errorOf } from '../../errors.js';
import { goOnLater, Turns } from '../../session/later.js';
import type { BodySink } from '../body/body.js';
import type { LastHead } from '../last-head.js';
import { MalformedMessage } from '../malformed.js';
import { type Kept, Reading } from '../memory/reading.js';
import { OutlivedWrites } from './outlived-writes.js';
import type { ResponseHead } from './response-head.js';
import { type ResponseHeard, ResponseReader } from './response-reader.js';
import { tellEnd } from './said-end.js';
import { type Forward, isLast, requestHead } from './upstream-request.js';

/** Opens a connection. @param session - what TLS is resumed with, of this very owner */
export type Dial = (reading: OnReadOpts, session: Buffer | null) => Dialled;

/** A connection on its way. */
export interface Dialled {
  readonly socket: Socket;
  /** What it emits when requests may be sent. */
  readonly ready: 'connect' | 'secureConnect';
}

/** Who hears what comes of a request. */
export interface AnswerHandler {
  /** Asked right before the request is written, and maybe once more where it is sent again. @returns whether it may be sent */
  onStart(): boolean;
  onHead(head: ResponseHead): void;
  /**
   * Bytes of the body; with `isLast` the answer is whole. They are overwritten afterwards: what is still needed then is `kept`.
   * @returns whether more may come; otherwise it comes after `resume`
   */
  onBody(bytes: Buffer, isLast: boolean): boolean;
  /** All that has come so far was told, and the answer is not whole. */
  onPause(): void;
  /** The request failed; nothing is heard of it afterwards. */
  onError(error: Error): void;
}

/** One request on its way. */
export interface Call {
  readonly forward: Forward;
  readonly handler: AnswerHandler;
}

/** Who a connection belongs to. */
export interface ConnectionOwner {
  readonly lastHead: LastHead<ResponseHead>;
  /** It is connected: it takes a request. */
  opened(connection: UpstreamConnection): void;
  /** The answer is whole, and another request may follow. */
  rested(connection: UpstreamConnection, keptFor: number | null): void;
  /**
   * It is closed.
   * @param call - what was under way on it
   * @param isAnswered - whether anything had come of that
   */
  closed(connection: UpstreamConnection, error: Error, call: Call | null, isAnswered: boolean): void;
  /** What the service sent so that TLS can be resumed. */
  tlsSession(session: Buffer): void;
  /** A round of the owner's clock. */
  readonly now: number;
}

/** An upstream was too slow rather than broken. */
export class UpstreamTimeout extends Error {}

/** What a connection reads into while nothing large comes, bytes: answers of services are mostly small. */
const OWN_BYTES = 16 * 1024;

/** One connection to a service, for the requests of one session, one after the other. */
export class UpstreamConnection implements ResponseHeard, BodySink {
  readonly #owner: ConnectionOwner;
  readonly #reader: ResponseReader;
  // Its own, and not everybody's: TLS may tell of bytes amid a write.
  readonly #reading = new Reading(Buffer.allocUnsafeSlow(OWN_BYTES));
  readonly #socket: Socket;
  readonly #writes: OutlivedWrites;
  #call: Call | null = null;
  #isConnected = false;
  /** The request has been handed over whole. */
  #isSent = true;
  /** Bytes came since the request was sent. */
  #isAnswered = false;
  #hasHead = false;
  /** A request was answered on it before. */
  isUsed = false;
  /** Whether the head of the answer allows for another request, and for how long. */
  #isKept = false;
  #keptFor: number | null = null;
  #isFlowing = true;
  /** Nothing is read until that is asked for. */
  #isStopped = false;
  /** It is read on in a later turn. */
  #isYielding = false;
  /** How much of a body was in what is being read, bytes. */
  #told = 0;
  readonly #turns = new Turns();
  #error: Error | null = null;
  /** Since when it waits for what it waits for: a round of the owner's clock. */
  since: number;
  /** Until when it may rest. */
  restsUntil = 0;

  /** @param session - what TLS is resumed with */
  constructor(owner: ConnectionOwner, dial: Dial, session: Buffer | null) {
    this.#owner = owner;
    this.since = owner.now;
    this.#reader = new ResponseReader(this, owner.lastHead);
    const reading = {
      buffer: () => this.#reading.next(),
      callback: (bytes: number) => this.#read(bytes),
    };
    this.#socket = this.#listened(dial(reading, session));
    this.#writes = new OutlivedWrites(this.#socket, () => this.#writeFailed());
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.writable && this.#error === null && this.#writes.error === null;
  }

  /** Whether it waits for its connection, or for the head of an answer: not for a client that takes its time. */
  get waitsFor(): 'connection' | 'head' | null {
    if (!this.#isConnected) return 'connection';
    if (this.#call === null || this.#hasHead) return null;
    return this.#isSent || this.#socket.writableNeedDrain || this.#writes.error !== null ? 'head' : null;
  }

  /** Sends a request, if it still may be. To be called on a connection that is open and rests. */
  send(call: Call): void {
    this.since = this.#owner.now;
    this.#isAnswered = false;
    this.#hasHead = false;
    try {
      if (!call.handler.onStart()) return this.destroy(new Error('the exchange is over'));
      this.#call = call;
      this.#write(call);
    } catch (thrown) {
      this.destroy(errorOf(thrown));
    }
  }

  #write({ forward }: Call): void {
    const head = requestHead(forward);
    this.#reader.begin(forward.method);
    this.#writes.begin();
    if (forward.body === null) {
      this.#socket.write(head, 'latin1');
      return;
    }
    // The head leaves with what there is of the body already, and alone when there is nothing.
    this.#isSent = false;
    this.#socket.cork();
    this.#socket.write(head, 'latin1');
    forward.body.start(this);
    setImmediate(() => this.#socket.uncork());
  }

  /** Whoever hears of this request takes more. */
  resume(call: Call): void {
    if (this.#isFlowing || this.#call !== call) return;
    this.#isFlowing = true;
    this.#readOn();
  }

  #readOn(): void {
    if (this.#isYielding) return;
    this.#isStopped = false;
    this.#socket.resume();
  }

  #yield(): void {
    if (this.#isYielding) return;
    this.#isYielding = true;
    goOnLater(() => {
      this.#isYielding = false;
      if (this.#isFlowing && !this.#socket.destroyed) this.#readOn();
    });
  }

  /** Ends it at once. */
  destroy(error: Error): void {
    this.#error ??= error;
    this.#reader.stop();
    this.#socket.destroy();
  }

  /** Ends it for the sake of a request that it has, or would have had: nothing is heard of that any more. */
  abandon(call: Call): void {
    if (this.#call !== null && this.#call !== call) return;
    this.#call = null;
    this.destroy(new Error('the exchange is over'));
  }

  /** Has bytes last that are being told of. */
  keep(bytes: Buffer): Kept {
    return this.#reading.keep(bytes);
  }

  write({ bytes, release }: Kept): boolean {
    const socket = this.#socket;
    this.since = this.#owner.now;
    if (this.#call?.forward.body?.length !== null) return socket.write(bytes, release);
    socket.cork();
    socket.write(`${bytes.length.toString(16)}\r\n`, 'latin1');
    socket.write(bytes, release);
    const flowing = socket.write('\r\n', 'latin1');
    socket.uncork();
    return flowing;
  }

  end(): void {
    if (this.#call?.forward.body?.length === null) this.#socket.write('0\r\n\r\n', 'latin1');
    this.#isSent = true;
    this.since = this.#owner.now;
  }

  fail(error: Error): void {
    this.destroy(error);
  }

  head(head: ResponseHead): void {
    this.since = this.#owner.now;
    if (head.status < 200) return;
    this.#hasHead = true;
    // A service that tells of a body where there can be none (204, 304) may send it: as an answer to what comes next.
    this.#isKept = head.isKept && (head.framing === 0 || head.hasBody(this.#call?.forward.method ?? ''));
    this.#keptFor = head.keptFor;
    this.#call?.handler.onHead(head);
  }

  body(bytes: Buffer, isLast: boolean): void {
    const call = this.#call;
    if (call === null) return;
    this.#told += bytes.byteLength;
    this.#isFlowing = call.handler.onBody(bytes, isLast) || isLast;
    if (!isLast) return;
    this.#call = null; // not before: who throws at the last bytes is told of the failure
    this.#answered(call);
  }

  /** What comes after an answer, or before a request, is nobody's. */
  #answered({ forward: { method, body } }: Call): void {
    this.isUsed = true;
    if (!this.#isSent) body?.destroy();
    const isClean = this.#isSent && this.#socket.writableLength === 0;
    if (!this.#isKept || !isClean || isLast(method, body)) this.destroy(new Error('the connection is not used again'));
  }

  #listened({ socket, ready }: Dialled): Socket {
    socket.once(ready, () => this.#connected());
    socket.on('session', (given: Buffer) => this.#owner.tlsSession(given));
    socket.on('drain', () => this.#call?.forward.body?.resume());
    socket.on('end', () => tellEnd(socket, this.#writes, this.#isStopped, (fault) => this.#ended(fault)));
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    socket.once('close', () => this.#closed());
    return socket;
  }

  #connected(): void {
    this.#isConnected = true;
    this.#owner.opened(this);
  }

  /** @returns whether to read on */
  #read(length: number): boolean {
    const wasResting = this.#call === null;
    this.#isAnswered = true;
    const bytes = this.#reading.came(length);
    this.#told = 0;
    try {
      const surplus = wasResting ? length : this.#reader.push(bytes);
      if (surplus > 0) this.destroy(new MalformedMessage('bytes that belong to no answer'));
    } catch (thrown) {
      this.destroy(errorOf(thrown));
    }
    if (this.#hasHead) this.#call?.handler.onPause();
    if (this.#call !== null && this.#turns.isOver(length, this.#told)) this.#yield();
    // TLS tells all that came at once, also after it was stopped: the rest of an answer, behind which nobody asks for more.
    if (this.#isFlowing && this.#isStopped) this.#readOn();
    this.#isStopped = !this.#isFlowing || this.#isYielding;
    if (!wasResting && this.#call === null && this.isOpen) this.#owner.rested(this, this.#keptFor);
    return !this.#isStopped;
  }

  /** The service has closed, and takes no more: what it said before is still read, up to the end. */
  #writeFailed(): void {
    this.#call?.forward.body?.destroy();
  }

  /** @param fault - why it is no end that the service has said */
  #ended(fault: Error | null): void {
    try {
      if (fault !== null) throw fault;
      this.#reader.finish();
      this.destroy(new Error('the service closed the connection'));
    } catch (thrown) {
      this.destroy(errorOf(thrown));
    }
  }

  #closed(): void {
    const call = this.#call;
    this.#call = null;
    this.#reader.stop();
    this.#reading.close();
    const error = this.#error ?? new Error('the service closed the connection');
    call?.forward.body?.destroy();
    this.#owner.closed(this, error, call, this.#isAnswered);
  }
}
