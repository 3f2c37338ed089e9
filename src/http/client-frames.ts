import { isUtf8 } from 'node:buffer';
import { CONTROL, DATA, type DataFrame, faultOfStart, shortest } from './frames.js';

/** What hears of a client's frames. The bytes are its own to keep. */
export interface ClientTap {
  /** A whole message, or a ping or pong. */
  frame(frame: DataFrame | 'ping' | 'pong', data: Buffer): void;
  /** The client's last frame. @param code - 1005 when it has none */
  close(code: number, reason: Buffer): void;
  /** These are no frames, or too many bytes: nothing more is read. @param code - what to close with (RFC 6455 section 7.4.1) */
  fault(code: number, why: string): void;
}

/** Two bytes, the length in up to eight, and the mask. */
const LONGEST_HEADER = 14;
/** How many frames more than bytes a message may have: one that never ends must not cost nothing. */
const EMPTY_FRAMES = 4_096;
const NOTHING = Buffer.alloc(0);

/**
 * Reads what a client sends (RFC 6455 section 5): masked frames, put together to messages. What is held is the bytes of the
 * message under way, in one buffer, however many frames or reads they came in.
 */
export class ClientFrames {
  readonly #most: number;
  readonly #tap: ClientTap;
  readonly #header = Buffer.alloc(LONGEST_HEADER);
  #headerBytes = 0;
  #headerLength = 0;
  #opcode = 0;
  #final = true;
  /** Of the frame under way: bytes to come, and bytes that came. */
  #left = 0;
  #taken = 0;
  /** The message of which frames are still to come; null between messages. */
  #message: DataFrame | null = null;
  #frames = 0;
  /** Of the bytes being read: how many frames may still end in them. */
  #mayEnd = 0;
  readonly #data = new Gathered();
  readonly #control = new Gathered();
  #ended = false;

  /** @param most - bytes that a message may have */
  constructor(most: number, tap: ClientTap) {
    this.#most = most;
    this.#tap = tap;
  }

  /**
   * Reads the next bytes, of which nothing is kept.
   * @param frames - how many frames may end in them: each costs more than its bytes say
   * @returns how many bytes were read; what is behind the last frame of all counts as read
   */
  write(chunk: Buffer, frames = Number.POSITIVE_INFINITY): number {
    let at = 0;
    this.#mayEnd = frames;
    while (at < chunk.length && !this.#ended && this.#mayEnd > 0) {
      if (this.#left > 0) at = this.#readPayload(chunk, at);
      else {
        this.#header[this.#headerBytes] = chunk[at] ?? 0;
        this.#headerBytes += 1;
        at += 1;
        this.#readHeader();
      }
    }
    return this.#ended ? chunk.length : at;
  }

  #readHeader(): void {
    if (this.#headerBytes === 2) this.#begin(this.#header[0] ?? 0, this.#header[1] ?? 0);
    if (this.#ended || this.#headerBytes < Math.max(2, this.#headerLength)) return;
    const short = (this.#header[1] ?? 0) & 0x7f;
    const length = this.#lengthOf(short);
    this.#headerBytes = 0;
    if (length < shortest(short)) return this.#fault(1002, 'a length that is not the shortest');
    if (this.#opcode < 8 && !this.#mayGrow(length)) return;
    this.#left = length;
    this.#taken = 0;
    if (length === 0) this.#endFrame();
  }

  #begin(first: number, second: number): void {
    this.#opcode = first & 0x0f;
    this.#final = (first & 0x80) !== 0;
    const length = second & 0x7f;
    const fault = faultOfStart(first, second, this.#message, (second & 0x80) === 0 ? 'a frame without a mask' : null);
    if (fault !== null) return this.#fault(1002, fault);
    this.#headerLength = 6 + (length === 126 ? 2 : length === 127 ? 8 : 0);
    this.#message = DATA[this.#opcode] ?? this.#message;
  }

  #lengthOf(short: number): number {
    if (short < 126) return short;
    return short === 126 ? this.#header.readUInt16BE(2) : Number(this.#header.readBigUInt64BE(2));
  }

  #mayGrow(length: number): boolean {
    const bytes = this.#data.length + length;
    this.#frames += 1;
    if (bytes > this.#most) this.#fault(1009, 'the message is too large');
    else if (this.#frames > EMPTY_FRAMES + bytes) this.#fault(1008, 'the message has too many empty frames');
    return !this.#ended;
  }

  #readPayload(chunk: Buffer, at: number): number {
    const piece = chunk.subarray(at, at + Math.min(this.#left, chunk.length - at));
    const mask = this.#header.subarray(this.#headerLength - 4, this.#headerLength);
    const into = this.#opcode < 8 ? this.#data : this.#control;
    const most = this.#final ? into.length + this.#left : this.#most;
    into.add(piece, { mask, from: this.#taken }, most);
    this.#left -= piece.length;
    this.#taken += piece.length;
    if (this.#left === 0) this.#endFrame();
    return at + piece.length;
  }

  #endFrame(): void {
    this.#mayEnd -= 1;
    const control = CONTROL[this.#opcode];
    if (control === 'close') this.#endClose(this.#control.take());
    else if (control !== undefined) this.#tap.frame(control, this.#control.take());
    else if (this.#final && this.#message !== null) this.#endMessage(this.#message, this.#data.take());
  }

  #endMessage(frame: DataFrame, data: Buffer): void {
    this.#message = null;
    this.#frames = 0;
    if (frame === 'text' && !isUtf8(data)) this.#fault(1007, 'text that is no UTF-8');
    else this.#tap.frame(frame, data);
  }

  #endClose(payload: Buffer): void {
    const code = payload.length === 0 ? 1005 : payload.readUInt16BE(0);
    const reason = payload.subarray(2);
    if (payload.length > 0 && !maySay(code)) return this.#fault(1002, 'a close code that nobody may send');
    if (!isUtf8(reason)) return this.#fault(1007, 'a reason that is no UTF-8');
    this.#ended = true;
    this.#tap.close(code, reason);
  }

  #fault(code: number, why: string): void {
    this.#ended = true;
    this.#tap.fault(code, why);
  }
}

/** Whether a close frame may have this code (RFC 6455 section 7.4, and the registry it founds). */
function maySay(code: number): boolean {
  return (code >= 3000 && code < 5000) || (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006));
}

/** Bytes that come in pieces, in one buffer that grows with them: a length that is only claimed takes no memory. */
class Gathered {
  #buffer = NOTHING;
  length = 0;

  /**
   * @param mask - of the frame (RFC 6455 section 5.3), and how many of its bytes came before
   * @param most - bytes there can be in the end
   */
  add(piece: Buffer, { mask, from }: { mask: Buffer; from: number }, most: number): void {
    const { length } = this;
    const end = length + piece.length;
    if (end > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.min(most, Math.max(end, 2 * this.#buffer.length)));
      this.#buffer.copy(larger, 0, 0, length);
      this.#buffer = larger;
    }
    const buffer = this.#buffer;
    for (let at = 0; at < piece.length; at += 1) buffer[length + at] = (piece[at] ?? 0) ^ (mask[(from + at) & 3] ?? 0);
    this.length = end;
  }

  /** Everything there is; begins anew. */
  take(): Buffer {
    const all = this.#buffer.subarray(0, this.length);
    this.#buffer = NOTHING;
    this.length = 0;
    return all;
  }
}
