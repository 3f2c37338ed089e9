import { isUtf8 } from 'node:buffer';
import { CONTROL, DATA, type DataFrame, faultOfStart, isCloseCode, NO_CODE, shortest } from './frames.js';
import { copyMasked, rotated, type Stretch } from './masking.js';

/** What hears of a client's frames. The bytes are its own to keep. */
export interface ClientTap {
  /** A whole message, or a ping or pong. */
  frame(frame: DataFrame | 'ping' | 'pong', data: Buffer): void;
  /** The client's last frame. @param code - `NO_CODE` when it has none */
  close(code: number, reason: Buffer): void;
  /** Asked before so many bytes more are held of a large message. @param most - bytes it may have. @returns whether they may be */
  mayHold(bytes: number, most: number): boolean;
  /** These are no frames, or too many bytes: nothing more is read. @param code - what to close with (RFC 6455 section 7.4.1) */
  fault(code: number, why: string): void;
}

/** How many frames more than bytes a message may have: one that never ends must not cost nothing. */
const EMPTY_FRAMES = 4_096;
/** Of smaller messages nobody is asked, bytes. */
const SMALL = 64 * 1024;
const NOTHING = Buffer.alloc(0);

/**
 * Reads what a client sends (RFC 6455 section 5): masked frames, put together to messages. What is held is the bytes of the
 * message under way, in one buffer, however many frames or reads they came in.
 */
export class ClientFrames {
  readonly #most: number;
  readonly #tap: ClientTap;
  /** Of the header under way: bytes that came, how many it has (its second byte says more), and what they say. */
  #headerBytes = 0;
  #headerLength = 2;
  #first = 0;
  #short = 0;
  #length = 0;
  #key = 0;
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
  readonly #data: Gathered;
  readonly #control = new Gathered(() => true);
  #ended = false;
  /** How much came of messages, bytes. */
  bytes = 0;

  /** @param most - bytes that a message may have */
  constructor(most: number, tap: ClientTap) {
    this.#most = most;
    this.#tap = tap;
    this.#data = new Gathered((bytes, most) => tap.mayHold(bytes, most));
  }

  /** How much is held of a large message under way, bytes. */
  get holds(): number {
    return this.#data.holds;
  }

  /** Whether a message, or a frame, has begun and not ended. */
  get isAmid(): boolean {
    return !this.#ended && (this.#message !== null || this.#headerBytes > 0 || this.#left > 0);
  }

  /** Nothing more is read, and nothing held. */
  end(): void {
    this.#ended = true;
    this.#data.take();
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
        this.#readHeader(chunk[at] ?? 0);
        at += 1;
      }
    }
    return this.#ended ? chunk.length : at;
  }

  #readHeader(byte: number): void {
    const at = this.#headerBytes;
    this.#headerBytes += 1;
    if (at === 0) this.#first = byte;
    else if (at === 1) this.#begin(this.#first, byte);
    else if (at < this.#headerLength - 4) this.#length = this.#length * 256 + byte;
    else this.#key = (this.#key >>> 8) | (byte << 24); // the first one ends lowest
    if (this.#headerBytes === this.#headerLength && !this.#ended) this.#endHeader();
  }

  #begin(first: number, second: number): void {
    this.#opcode = first & 0x0f;
    this.#final = (first & 0x80) !== 0;
    const short = second & 0x7f;
    const fault = faultOfStart(first, second, this.#message, (second & 0x80) === 0 ? 'a frame without a mask' : null);
    if (fault !== null) return this.#fault(1002, fault);
    this.#headerLength = 6 + (short === 126 ? 2 : short === 127 ? 8 : 0);
    this.#short = short;
    this.#length = short < 126 ? short : 0;
    this.#message = DATA[this.#opcode] ?? this.#message;
  }

  #endHeader(): void {
    this.#headerBytes = 0;
    this.#headerLength = 2;
    if (this.#length < shortest(this.#short)) return this.#fault(1002, 'a length that is not the shortest');
    if (this.#length >= 2 ** 63) return this.#fault(1002, 'a length beyond 63 bits');
    if (this.#opcode < 8 && !this.#mayGrow(this.#length)) return;
    this.#left = this.#length;
    this.#taken = 0;
    if (this.#left === 0) this.#endFrame();
  }

  #mayGrow(length: number): boolean {
    const bytes = this.#data.length + length;
    this.#frames += 1;
    if (bytes > this.#most) this.#fault(1009, 'the message is too large');
    else if (this.#frames > EMPTY_FRAMES + bytes) this.#fault(1008, 'the message has too many empty frames');
    return !this.#ended;
  }

  #readPayload(chunk: Buffer, at: number): number {
    const to = Math.min(at + this.#left, chunk.length);
    const into = this.#opcode < 8 ? this.#data : this.#control;
    const most = this.#final ? into.length + this.#left : this.#most;
    if (!into.add({ bytes: chunk, from: at, to }, rotated(this.#key, this.#taken), most)) {
      this.#fault(1013, 'no memory for it');
      return to;
    }
    this.#left -= to - at;
    this.#taken += to - at;
    if (this.#opcode < 8) this.bytes += to - at;
    if (this.#left === 0) this.#endFrame();
    return to;
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
    const code = payload.length === 0 ? NO_CODE : payload.readUInt16BE(0);
    const reason = payload.subarray(2);
    if (payload.length > 0 && !isCloseCode(code)) return this.#fault(1002, 'a close code that nobody may send');
    if (!isUtf8(reason)) return this.#fault(1007, 'a reason that is no UTF-8');
    this.#ended = true;
    this.#tap.close(code, reason);
  }

  #fault(code: number, why: string): void {
    this.#ended = true;
    this.#tap.fault(code, why);
  }
}

/** Bytes that come in pieces, in one buffer that grows with them: a length that is only claimed takes no memory. */
class Gathered {
  readonly #mayHold: (bytes: number, most: number) => boolean;
  #buffer = NOTHING;
  length = 0;

  constructor(mayHold: (bytes: number, most: number) => boolean) {
    this.#mayHold = mayHold;
  }

  /** What was asked for, bytes. */
  get holds(): number {
    return this.#buffer.length > SMALL ? this.#buffer.length : 0;
  }

  /**
   * @param key - of the mask, as it stands at the first of these bytes
   * @param most - bytes there can be in the end
   * @returns whether there was memory for them
   */
  add(piece: Stretch, key: number, most: number): boolean {
    const { length } = this;
    const end = length + piece.to - piece.from;
    if (end > this.#buffer.length && !this.#grow(Math.max(end, 2 * this.#buffer.length), most)) return false;
    copyMasked(this.#buffer, length, piece, key);
    this.length = end;
    return true;
  }

  #grow(wanted: number, most: number): boolean {
    const size = Math.min(most, wanted);
    if (size > SMALL && !this.#mayHold(size - this.holds, most)) return false;
    const larger = Buffer.allocUnsafe(size);
    if (this.length > 0) this.#buffer.copy(larger, 0, 0, this.length);
    this.#buffer = larger;
    return true;
  }

  /** Everything there is; begins anew. */
  take(): Buffer {
    const buffer = this.#buffer;
    const all = this.length === buffer.length ? buffer : buffer.subarray(0, this.length);
    this.#buffer = NOTHING;
    this.length = 0;
    return all;
  }
}
