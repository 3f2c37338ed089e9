import { isUtf8 } from 'node:buffer';
import {
  CONTROL,
  type ControlFrame,
  DATA,
  type DataFrame,
  faultOfStart,
  isCloseCode,
  NO_CODE,
  shortest,
} from './frames.js';

/** What hears of a service's messages as they pass, piece by piece. The pieces are views: keep a copy, or nothing. */
export interface FrameTap {
  /**
   * The next bytes of the message under way; also called once, with none, for a frame without any.
   * @param isLast - `whole` follows at once
   */
  piece(frame: DataFrame, bytes: Buffer, isLast: boolean): void;
  /** The message that was under way is whole. */
  whole(frame: DataFrame): void;
  /** A control frame, which may come between the pieces of a message (RFC 6455 section 5.4). */
  control(frame: ControlFrame, payload: Buffer): void;
}

const NOBODY: FrameTap = { piece: () => {}, whole: () => {}, control: () => {} };
const NOTHING = Buffer.alloc(0);

/**
 * Follows the frames a service sends (RFC 6455 section 5.2) without touching them: bytes are passed to the client as they
 * came, at any size and pace, and the cut still knows whether a frame is half-sent. Reading and re-framing messages instead
 * would hold each one in memory, bound its size and delay its beginning.
 */
export class FrameWatch {
  readonly #tap: FrameTap;
  /** Of the header under way: bytes that came, how many it has (its second byte says more), and what they say. */
  #headerBytes = 0;
  #headerLength = 2;
  #first = 0;
  #short = 0;
  #length = 0;
  /** Bytes of the frame that are still to come. */
  #left = 0;
  #opcode = 0;
  #final = true;
  /** The message of which frames are still to come; null between messages. */
  #message: DataFrame | null = null;
  #payload: number[] = [];
  /** Of the bytes being looked at: where the frame under way begins; -1: it began before them. */
  #begins = 0;
  /** Of the same: how many frames may still end in them. */
  #mayEnd = 0;
  /** The code of the close frame that passed; `NO_CODE` when it had none; null before. */
  closeCode: number | null = null;
  /** What is wrong with the frames; null while nothing is. */
  fault: string | null = null;

  constructor(tap: FrameTap = NOBODY) {
    this.#tap = tap;
  }

  /** Whether the last byte that may be passed on ended a frame: only then may a control frame be put behind it. */
  get atBoundary(): boolean {
    return this.fault === null ? this.#left === 0 && this.#headerBytes === 0 : this.#begins >= 0;
  }

  /** Whether the last byte that may be passed on ended a message: only then may another message be put behind it. */
  get atMessageBoundary(): boolean {
    return this.fault === null && this.atBoundary && this.#message === null && this.closeCode === null;
  }

  /** Whether a message, or a frame, has begun and not ended. */
  get isAmid(): boolean {
    return this.closeCode === null && !this.atMessageBoundary;
  }

  /**
   * Looks at the next bytes.
   * @param frames - how many frames may end in them: each costs more than its bytes say
   * @returns how many of them may be passed on: not those of a frame that is none, as far as it begins here, nor what comes
   *   behind the close frame, which nobody listens to (RFC 6455 section 5.5.1), nor behind the last frame of so many
   */
  push(chunk: Buffer, frames = Number.POSITIVE_INFINITY): number {
    let at = 0;
    this.#mayEnd = frames;
    this.#begins = this.#left === 0 && this.#headerBytes === 0 ? 0 : -1;
    while (at < chunk.length && this.fault === null && this.closeCode === null && this.#mayEnd > 0) {
      if (this.#left > 0) at = this.#skip(chunk, at);
      else {
        this.#readHeader(chunk[at] ?? 0);
        at += 1;
      }
      if (this.#left === 0 && this.#headerBytes === 0 && this.fault === null) this.#begins = at;
    }
    return this.fault === null ? at : Math.max(0, this.#begins);
  }

  #skip(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#left, chunk.length - at);
    const piece = chunk.subarray(at, at + taken);
    if (this.#opcode >= 8) this.#payload.push(...piece);
    else if (this.#message !== null) this.#tap.piece(this.#message, piece, this.#final && taken === this.#left);
    this.#left -= taken;
    if (this.#left === 0) this.#endFrame();
    return at + taken;
  }

  #readHeader(byte: number): void {
    this.#headerBytes += 1;
    if (this.#headerBytes === 1) this.#first = byte;
    else if (this.#headerBytes === 2) this.#begin(this.#first, byte);
    else this.#length = this.#length * 256 + byte;
    if (this.#headerBytes === this.#headerLength && this.fault === null) this.#endHeader();
  }

  #begin(first: number, second: number): void {
    this.#opcode = first & 0x0f;
    this.#final = (first & 0x80) !== 0;
    const short = second & 0x7f;
    const masked = (second & 0x80) !== 0;
    this.fault = faultOfStart(first, second, this.#message, masked ? 'a masked frame from the service' : null);
    this.#headerLength = short === 126 ? 4 : short === 127 ? 10 : 2;
    this.#short = short;
    this.#length = short < 126 ? short : 0;
    this.#message = DATA[this.#opcode] ?? this.#message;
  }

  #endHeader(): void {
    this.#headerBytes = 0;
    this.#headerLength = 2;
    this.#left = this.#length;
    if (!Number.isSafeInteger(this.#left)) this.fault = 'a frame that is too long';
    else if (this.#left < shortest(this.#short)) this.fault = 'a length that is not the shortest';
    else if (this.#left === 0) {
      if (this.#opcode < 8 && this.#message !== null) this.#tap.piece(this.#message, NOTHING, this.#final);
      this.#endFrame();
    }
  }

  #endFrame(): void {
    this.#mayEnd -= 1;
    const control = CONTROL[this.#opcode];
    if (control !== undefined) this.#endControl(control, Buffer.from(this.#payload));
    else if (this.#final && this.#message !== null) {
      const whole = this.#message;
      this.#message = null;
      this.#tap.whole(whole);
    }
  }

  #endControl(frame: ControlFrame, payload: Buffer): void {
    this.#payload = [];
    if (frame === 'close') this.#endClose(payload);
    if (this.fault === null) this.#tap.control(frame, payload);
  }

  #endClose(payload: Buffer): void {
    const [high, low] = payload;
    const code = high === undefined || low === undefined ? null : high * 256 + low;
    if (code !== null && !isCloseCode(code)) this.fault = 'a close code that nobody may send';
    else if (!isUtf8(payload.subarray(2))) this.fault = 'a reason that is no UTF-8';
    else this.closeCode = code ?? NO_CODE;
  }
}
