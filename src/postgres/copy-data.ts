import type { Payload } from '../recording/event.js';

/** How much of it the record keeps, bytes. */
const MOST_KEPT = 8 * 1024;

/** The data of a COPY from the client. Some of it may come before the server has said that a COPY began. */
export class CopyData {
  /** The result under way is that of a COPY from the client. */
  underWay = false;
  bytes = 0;
  #first: Buffer[] = [];

  add(piece: Buffer): void {
    // A copy: the piece is a part of what was received with it, which would be kept alive.
    if (this.bytes < MOST_KEPT) this.#first.push(Buffer.from(piece.subarray(0, MOST_KEPT - this.bytes)));
    this.bytes += piece.length;
  }

  /** Its first part, for the record. */
  sample(): Payload {
    return { copy: Buffer.concat(this.#first).toString('utf8') };
  }

  /** What was counted belongs to no COPY any more. */
  forget(): void {
    this.underWay = false;
    this.bytes = 0;
    this.#first = [];
  }
}
