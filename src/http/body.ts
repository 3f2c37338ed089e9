import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { Session } from '../session/session.js';
import { BODY_SAMPLE } from './describe.js';

/** A body turned out larger than its rule allows. */
export class BodyTooLarge extends Error {
  constructor(most: number) {
    super(`the body has more than ${most} bytes`);
  }
}

/**
 * A request's body on its way to the service: pulled at the service's pace, counted, its beginning kept for the record,
 * and stopped at once when the session is over.
 */
export class RequestBody extends Readable {
  readonly #source: IncomingMessage;
  readonly #most: number;
  readonly #sample: Buffer[] = [];
  #sampled = 0;
  /** Bytes passed on so far. */
  bytes = 0;

  /** @param most - bytes; the body fails with `BodyTooLarge` before anything beyond is passed on */
  constructor(source: IncomingMessage, session: Session, most = Number.POSITIVE_INFINITY) {
    super();
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

  /** The first bytes, for the record. */
  get sample(): Buffer {
    return Buffer.concat(this.#sample);
  }

  #pass(chunk: Buffer): void {
    if (this.bytes + chunk.byteLength > this.#most) {
      this.destroy(new BodyTooLarge(this.#most));
      return;
    }
    this.bytes += chunk.byteLength;
    if (this.#sampled < BODY_SAMPLE) {
      const part = Buffer.from(chunk.subarray(0, BODY_SAMPLE - this.#sampled));
      this.#sample.push(part);
      this.#sampled += part.byteLength;
    }
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
