/** Pieces below this size are joined as they come, so that a message sent byte by byte costs about its own size, bytes. */
const JOINED = 64 * 1024;

/**
 * Bytes that are collected until a message is whole. Small pieces are joined in doubling steps: the number of buffers and
 * the bytes copied stay small however finely a peer cuts its messages.
 */
export class Parts {
  #parts: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(piece: Buffer): void {
    this.#length += piece.length;
    let joined = piece;
    for (let last = this.#parts.at(-1); last !== undefined && mayJoin(last, joined); last = this.#parts.at(-1)) {
      this.#parts.pop();
      joined = Buffer.concat([last, joined]);
    }
    this.#parts.push(joined);
  }

  /** The first bytes, at least `size` of them in one buffer; undefined when there are fewer. */
  head(size: number): Buffer | undefined {
    if (this.#length < size) return undefined;
    if (this.#parts[0]!.length < size) this.#parts = [Buffer.concat(this.#parts, this.#length)];
    return this.#parts[0];
  }

  /** Takes the first `size` bytes, which must be there; the rest stays. */
  cut(size: number): Buffer {
    const all = this.take();
    if (all.length > size) this.add(all.subarray(size));
    return all.subarray(0, size);
  }

  /** Everything in one buffer; nothing is left. */
  take(): Buffer {
    const [only] = this.#parts;
    const all = this.#parts.length === 1 && only !== undefined ? only : Buffer.concat(this.#parts, this.#length);
    this.#parts = [];
    this.#length = 0;
    return all;
  }
}

function mayJoin(last: Buffer, next: Buffer): boolean {
  return next.length < JOINED && next.length >= last.length;
}
