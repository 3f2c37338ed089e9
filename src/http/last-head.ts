const NOTHING = Buffer.alloc(0);
/** So much more room than its head needs a connection keeps, bytes: heads are of about the same length. */
const SPARE = 1_024;

/** The head that was read last. Peers mostly send the same one again: the same bytes are not read twice. */
export class LastHead<Head> {
  #room = NOTHING;
  #length = 0;
  #head: Head | null = null;

  /** What the bytes that begin there were read as, when they are the last head again. */
  at(bytes: Buffer, from: number): Head | null {
    const length = this.#length;
    if (this.#head === null || bytes.length - from < length) return null;
    return bytes.compare(this.#room, 0, length, from, from + length) === 0 ? this.#head : null;
  }

  /** How long the last head is, bytes. */
  get length(): number {
    return this.#length;
  }

  /** @param bytes - the whole head with the empty line at its end, so that no other begins with it; copied */
  keep(bytes: Buffer, head: Head): Head {
    const { length } = bytes;
    const fits = length <= this.#room.length && this.#room.length <= length + SPARE;
    // Not a part of Node's pool: a connection that rests would keep all of that, 8 KiB, for a head of 200 bytes.
    if (!fits) this.#room = Buffer.allocUnsafeSlow(length);
    bytes.copy(this.#room);
    this.#length = length;
    this.#head = head;
    return head;
  }
}
