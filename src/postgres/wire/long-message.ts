import { createHash } from 'node:crypto';
import { HEADER } from './framing.js';

/** What is kept of a long message: its beginning, its length and its digest. */
export interface LongMessage {
  /** The first bytes of the body. */
  readonly head: Buffer;
  /** Bytes of the body. */
  readonly length: number;
  /** SHA-256 of the body, hex. */
  readonly sha256: string;
}

/** How much of the beginning is kept, bytes. */
const HEAD = 8_192;

/** Reads a message that passes in pieces, without holding it. */
export class LongMessageReader {
  readonly #digest = createHash('sha256');
  readonly #head: Buffer[] = [];
  #length = -HEADER;

  /** @param piece - the next one; the first begins with the header */
  add(piece: Buffer): void {
    const body = this.#length < 0 ? piece.subarray(HEADER) : piece;
    // A copy: the piece is a part of what was received with it, which would be kept alive.
    if (this.#length < HEAD) this.#head.push(Buffer.from(body.subarray(0, HEAD)));
    this.#length += piece.length;
    this.#digest.update(body);
  }

  /** The message, once it is whole. */
  end(): LongMessage {
    const head = Buffer.concat(this.#head).subarray(0, HEAD);
    return { head, length: this.#length, sha256: this.#digest.digest('hex') };
  }
}

/** The name that a body begins with from `from` on, as far as it is in the head; and where it ends. */
export function nameIn({ head }: LongMessage, from = 0): { readonly name: string; readonly end: number } {
  const nul = head.indexOf(0, from);
  const end = nul === -1 ? head.length : nul;
  return { name: head.toString('utf8', from, end), end: Math.min(end + 1, head.length) };
}
