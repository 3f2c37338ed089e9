const NOTHING = Buffer.alloc(0);

/** The head that was read last. Peers mostly send the same one again: the same bytes are not read twice. */
export class LastHead<Head> {
  #bytes = NOTHING;
  #head: Head | null = null;

  /** What the bytes that begin there were read as, when they are the last head again. */
  at(bytes: Buffer, from: number): Head | null {
    const { length } = this.#bytes;
    if (this.#head === null || bytes.length - from < length) return null;
    return bytes.compare(this.#bytes, 0, length, from, from + length) === 0 ? this.#head : null;
  }

  /** How long the last head is, bytes. */
  get length(): number {
    return this.#bytes.length;
  }

  /** @param bytes - the whole head with the empty line at its end, so that no other begins with it; copied */
  keep(bytes: Buffer, head: Head): Head {
    this.#bytes = Buffer.from(bytes);
    this.#head = head;
    return head;
  }
}
