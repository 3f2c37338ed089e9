import type { IncomingMessage } from 'node:http';
import type { Session } from '../session/session.js';
import type { BodyTap } from './body-tap.js';

/** A body turned out larger than its rule allows. */
export class BodyTooLarge extends Error {
  constructor(most: number) {
    super(`the body has more than ${most} bytes`);
  }
}

/** Where a request's body goes. */
export interface BodySink {
  /** @returns whether more may come; otherwise it comes after `resume` */
  write(chunk: Buffer): boolean;
  end(): void;
  /** It does not come to its end. */
  fail(error: Error): void;
}

/** A request's body on its way to the service: pulled at its pace, listened to, and stopped at once when the session is over. */
export class RequestBody {
  /** As the head of the request says it, bytes; null when its chunks do. */
  readonly length: number | null;
  /** Hears what is passed on. */
  readonly tap: BodyTap;
  readonly #source: IncomingMessage;
  readonly #session: Session;
  readonly #most: number;
  #sink: BodySink | null = null;
  #isOver = false;

  /** @param most - bytes; the body fails with `BodyTooLarge` before anything beyond is passed on */
  constructor(source: IncomingMessage, session: Session, tap: BodyTap, most = Number.POSITIVE_INFINITY) {
    const length = source.headers['content-length'];
    this.length = length === undefined ? null : Number(length);
    this.tap = tap;
    this.#source = source;
    this.#session = session;
    this.#most = most;
    source.pause();
  }

  /** Begins to give the body away. It can be done once. */
  start(sink: BodySink): void {
    if (this.#isOver) return sink.fail(new Error('the body is over'));
    this.#sink = sink;
    const source = this.#source;
    source.on('data', (chunk: Buffer) => this.#pass(chunk));
    source.once('end', () => this.#end());
    source.once('error', (error) => this.#fail(error));
    source.once('close', () => {
      if (!source.complete) this.#fail(new Error('the client left before its request was whole'));
    });
    source.resume();
  }

  /** The service takes more. */
  resume(): void {
    if (!this.#isOver) this.#source.resume();
  }

  /** Nothing more of it is passed on. */
  destroy(): void {
    this.#isOver = true;
    this.#sink = null;
  }

  #pass(chunk: Buffer): void {
    const sink = this.#sink;
    if (sink === null) return;
    if (!this.#session.isLive()) return this.#fail(new Error('the session is over'));
    if (this.tap.bytes + chunk.byteLength > this.#most) return this.#fail(new BodyTooLarge(this.#most));
    this.tap.push(chunk);
    if (!sink.write(chunk)) this.#source.pause();
  }

  #end(): void {
    const sink = this.#sink;
    this.destroy();
    sink?.end();
  }

  #fail(error: Error): void {
    const sink = this.#sink;
    this.destroy();
    sink?.fail(error);
  }
}

/** Whether a request has a body: its framing headers say so, never its method (RFC 9112 section 6; A6). */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** How much of a refused request's body is read on, so that the refusal reaches a client that is still sending. */
const DRAIN_BYTES = 1024 * 1024;
const DRAIN_MS = 5_000;

/** Reads on a body that nobody wants, within bounds; then the connection is closed. */
export function drain(req: IncomingMessage): void {
  if (req.complete) return;
  let left = DRAIN_BYTES;
  const timer = setTimeout(() => req.socket.destroy(), DRAIN_MS);
  timer.unref();
  req.on('data', (chunk: Buffer) => {
    left -= chunk.byteLength;
    if (left < 0) req.socket.destroy();
  });
  req.once('close', () => clearTimeout(timer));
  req.once('error', () => {});
  req.resume();
}
