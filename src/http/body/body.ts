import type { Session } from '../../session/session.js';
import type { BodyReceiver, ClientRequest } from '../client/request.js';
import { DigestLost } from '../hashing/digest.js';
import type { Kept } from '../memory/reading.js';
import { type BodyGuard, GuardedBody } from './guarded.js';
import type { BodyTap } from './tap.js';

/** A body turned out larger than its rule allows. */
export class BodyTooLarge extends Error {
  constructor(most: number) {
    super(`the body has more than ${most} bytes`);
  }
}

/** Bodies up to this size are looked through for something that reads as a request, bytes. */
const LOOKED_THROUGH = 8 * 1024;
/**
 * A method with a target behind it, or a version: in every request line there is one of them, however lenient its reader is. Python parts
 * words at separators (0x1c to 0x1f) and at 0x85, too.
 */
const REQUEST_LIKE = /http\/|\w[\s\x1c-\x1f\x85]+(?:[/*]|https?:)/i;
/** HTTP/0.9 has no version and this method alone; its target begins with any character to some (`GET admin`). */
const OLD_REQUEST_LIKE = /GET[\s\x1c-\x1f\x85]/;
/** What stands right before the method of the next request, and makes another of it: `PROP` before `PATCH`. */
const METHOD_BEGUN = /^[\s\x1c-\x1f\x85]*[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Where a request's body goes. */
export interface BodySink {
  /** @returns whether more may come; otherwise it comes after `resume` */
  write(chunk: Kept): boolean;
  end(): void;
  /** It does not come to its end. */
  fail(error: Error): void;
}

/** A request's body on its way to the service: pulled at its pace, listened to, and stopped at once when the session is over. */
export class RequestBody implements BodyReceiver {
  /** As the head of the request says it, bytes; null when its chunks do. */
  readonly length: number | null;
  /** Hears what is passed on. */
  readonly tap: BodyTap;
  readonly #source: ClientRequest;
  readonly #session: Session;
  readonly #guard: BodyGuard | null;
  #most: number;
  #sink: BodySink | null = null;
  #isOver = false;
  #isInert: boolean | null = null;
  /** It came to its end, and all of it was passed on. */
  isWhole = false;

  /**
   * @param most - bytes; the body fails with `BodyTooLarge` before anything beyond is passed on
   * @param guard - has to let each piece go on
   */
  constructor(source: ClientRequest, session: Session, tap: BodyTap, most: number, guard: BodyGuard | null) {
    this.length = source.length;
    this.tap = tap;
    this.#source = source;
    this.#session = session;
    this.#most = most;
    this.#guard = guard;
  }

  /**
   * Whether no part of it could be taken for a request by a service that leaves it unread: it is small, here already, and holds nothing
   * of the kind. First asked before it is given away; the answer stays.
   */
  get isInert(): boolean {
    this.#isInert ??= isInert(this.#source.bodyUpTo(LOOKED_THROUGH));
    return this.#isInert;
  }

  /** Begins to give the body away. It can be done once. */
  start(sink: BodySink): void {
    if (this.#isOver) return sink.fail(new Error('the body is over'));
    this.#sink = sink;
    this.#source.receive(this.#guard === null ? this : new GuardedBody(this.#source, this.#guard, this));
  }

  /** No more than this is passed on, bytes; the body fails at once when that is behind it already. */
  narrow(most: number): void {
    this.#most = Math.min(this.#most, most);
    if (!this.#isOver && this.tap.bytes > most) this.fail(new BodyTooLarge(most));
  }

  /** The service takes more. */
  resume(): void {
    if (!this.#isOver) this.#source.resume();
  }

  /** Nothing more of it is passed on. */
  destroy(): void {
    this.#isOver = true;
    this.#sink = null;
    this.#guard?.close();
  }

  data(chunk: Kept): void {
    const sink = this.#sink;
    if (sink === null) return chunk.release();
    const fault = this.#faultOf(chunk);
    if (fault !== null) {
      chunk.release();
      return this.fail(fault);
    }
    const lost = this.#hear(chunk);
    if (lost !== null) {
      chunk.release();
      return this.fail(lost);
    }
    if (!sink.write(chunk)) this.#source.pause();
  }

  /** @returns why it cannot be recorded; null when it is */
  #hear(chunk: Kept): DigestLost | null {
    try {
      this.tap.push(chunk);
      return null;
    } catch (thrown) {
      if (thrown instanceof DigestLost) return thrown;
      throw thrown;
    }
  }

  #faultOf({ bytes }: Kept): Error | null {
    if (!this.#session.isLive()) return new Error('the session is over');
    return this.tap.bytes + bytes.byteLength > this.#most ? new BodyTooLarge(this.#most) : null;
  }

  end(): void {
    // Of a body in chunks its end is sent, too, and makes the request one that is carried out.
    if (this.#sink !== null && !this.#session.isLive()) return this.fail(new Error('the session is over'));
    const sink = this.#sink;
    this.isWhole = sink !== null;
    this.destroy();
    sink?.end();
  }

  fail(error: Error): void {
    const sink = this.#sink;
    this.destroy();
    sink?.fail(error);
  }
}

function isInert(body: Buffer | null): boolean {
  if (body === null) return false;
  const text = body.toString('latin1');
  const last = text.slice(Math.max(text.lastIndexOf('\n'), text.lastIndexOf('\r')) + 1);
  return !REQUEST_LIKE.test(text) && !OLD_REQUEST_LIKE.test(text) && !METHOD_BEGUN.test(last);
}
