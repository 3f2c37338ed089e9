import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { Session } from '../session/session.js';
import type { BodyTap } from './body-tap.js';

/** A body turned out larger than its rule allows. */
export class BodyTooLarge extends Error {
  constructor(most: number) {
    super(`the body has more than ${most} bytes`);
  }
}

/** A request's body on its way to the service: pulled at its pace, listened to, and stopped at once when the session is over. */
export class RequestBody extends Readable {
  readonly #source: IncomingMessage;
  readonly #most: number;
  /** Hears what is passed on. */
  readonly tap: BodyTap;

  /** @param most - bytes; the body fails with `BodyTooLarge` before anything beyond is passed on */
  constructor(source: IncomingMessage, session: Session, tap: BodyTap, most = Number.POSITIVE_INFINITY) {
    super();
    this.tap = tap;
    this.#source = source;
    this.#most = most;
    source.on('data', (chunk: Buffer) => {
      if (this.destroyed) return;
      if (!session.isLive()) this.destroy(new Error('the session is over'));
      else this.#pass(chunk);
    });
    source.once('end', () => this.push(null));
    source.once('error', (error) => this.destroy(error));
    source.once('close', () => {
      if (!source.complete) this.destroy(new Error('the client left before its request was whole'));
    });
    source.pause();
  }

  override _read(): void {
    this.#source.resume();
  }

  #pass(chunk: Buffer): void {
    if (this.tap.bytes + chunk.byteLength > this.#most) {
      this.destroy(new BodyTooLarge(this.#most));
      return;
    }
    this.tap.push(chunk);
    if (!this.push(chunk)) this.#source.pause();
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
