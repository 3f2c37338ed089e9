/**
 * Follows the frames a service sends (RFC 6455 section 5.2) without touching them: bytes are passed to the client as they
 * came, at any size and pace, and the cut still knows whether a frame is half-sent. Reading and re-framing messages instead
 * would hold each one in memory, bound its size and delay its beginning.
 */
export class FrameWatch {
  #header: number[] = [];
  /** How many bytes the header under way has; it grows with what its second byte says. */
  #headerLength = 2;
  #left = 0;
  #opcode = 0;
  #payload: number[] = [];
  /** The code of the close frame that passed; 1005 when it had none; null before. */
  closeCode: number | null = null;
  /** What is wrong with the frames; null while nothing is. */
  fault: string | null = null;

  /** Whether the last byte seen ended a frame: only then may another frame be put behind it. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#header.length === 0 && this.fault === null;
  }

  /** Looks at the next bytes. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && this.fault === null) {
      if (this.#left > 0) at = this.#skip(chunk, at);
      else if (this.closeCode !== null) this.fault = 'a frame behind the close frame';
      else {
        this.#header.push(chunk[at] ?? 0);
        at += 1;
        this.#readHeader();
      }
    }
  }

  #skip(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#left, chunk.length - at);
    if (this.#opcode === 8) this.#payload.push(...chunk.subarray(at, at + taken));
    this.#left -= taken;
    if (this.#left === 0) this.#endFrame();
    return at + taken;
  }

  #readHeader(): void {
    const [first = 0, second = 0] = this.#header;
    if (this.#header.length === 2) {
      this.#opcode = first & 0x0f;
      const length = second & 0x7f;
      if ((first & 0x70) !== 0) this.fault = 'reserved bits without an extension';
      else if ((second & 0x80) !== 0) this.fault = 'a masked frame from the service';
      else if ((this.#opcode & 0x07) > 2) this.fault = 'a reserved opcode';
      else if (this.#opcode >= 8 && (length > 125 || (first & 0x80) === 0))
        this.fault = 'a control frame that is too long or fragmented';
      else if (this.#opcode === 8 && length === 1) this.fault = 'half a close code';
      this.#headerLength = length === 126 ? 4 : length === 127 ? 10 : 2;
    }
    if (this.#header.length < this.#headerLength || this.fault !== null) return;
    this.#left = this.#lengthOf(second & 0x7f);
    this.#header = [];
    if (!Number.isSafeInteger(this.#left)) this.fault = 'a frame that is too long';
    else if (this.#left < shortest(second & 0x7f)) this.fault = 'a length that is not the shortest';
    else if (this.#left === 0) this.#endFrame();
  }

  #lengthOf(short: number): number {
    if (short < 126) return short;
    return this.#header.slice(2).reduce((length, byte) => length * 256 + byte, 0);
  }

  #endFrame(): void {
    if (this.#opcode === 8 && this.closeCode === null) {
      const [high, low] = this.#payload;
      this.closeCode = high === undefined || low === undefined ? 1005 : high * 256 + low;
    }
    this.#payload = [];
    this.#headerLength = 2;
  }
}

/** The least length that is written in this form: each in its shortest (RFC 6455 section 5.2). */
function shortest(short: number): number {
  if (short === 126) return 126;
  return short === 127 ? 65_536 : 0;
}

/** A whole close frame as a server sends it; the reason is cut to what fits (123 bytes of UTF-8). */
export function closeFrame(code: number, reason: string): Buffer {
  let text = Buffer.from(reason, 'utf8');
  for (let keep = reason.length; text.byteLength > 123; keep -= 1) text = Buffer.from(reason.slice(0, keep), 'utf8');
  const frame = Buffer.alloc(4 + text.byteLength);
  frame[0] = 0x88;
  frame[1] = 2 + text.byteLength;
  frame.writeUInt16BE(code, 2);
  text.copy(frame, 4);
  return frame;
}
