import type { Payload } from '../recording/event.js';

/** How much of it the record keeps, bytes. */
const MOST_KEPT = 8 * 1024;

/** The data of a COPY from the client. Some of it may come before the server has said that a COPY began, or all. */
export class CopyData {
  bytes = 0;
  #first: Buffer[] = [];

  add(piece: Buffer): void {
    // A copy: the piece is a part of what was received with it, which would be kept alive.
    if (this.bytes < MOST_KEPT) this.#first.push(Buffer.from(piece.subarray(0, MOST_KEPT - this.bytes)));
    this.bytes += piece.length;
  }

  /** How much of it is kept, bytes. */
  get kept(): number {
    return Math.min(this.bytes, MOST_KEPT);
  }

  /** Its first part, for the record; null of one without data. */
  sample(): Payload | null {
    return this.bytes === 0 ? null : { copy: Buffer.concat(this.#first).toString('utf8') };
  }
}
