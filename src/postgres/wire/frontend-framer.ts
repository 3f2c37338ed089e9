import { FramingError, HEADER, LARGEST, MiB, SMALL, UNKNOWN } from './framing.js';
import { Parts } from './parts.js';

/** Type bytes of the messages a client may send once it is in (section 53.7). `p` belongs to authentication alone. */
export const FRONTEND = {
  bind: 0x42,
  close: 0x43,
  describe: 0x44,
  execute: 0x45,
  functionCall: 0x46,
  flush: 0x48,
  parse: 0x50,
  query: 0x51,
  sync: 0x53,
  terminate: 0x58,
  copyDone: 0x63,
  copyData: 0x64,
  copyFail: 0x66,
} as const;

const MOST: Readonly<Record<string, number>> = {
  Q: 16 * MiB,
  P: 16 * MiB,
  B: 256 * MiB,
  F: 256 * MiB,
  d: LARGEST,
};
/** The same by type byte, since it is asked for each message. */
const MOST_OF = new Int32Array(256).fill(UNKNOWN);
for (const type of Object.values(FRONTEND)) MOST_OF[type] = MOST[String.fromCharCode(type)] ?? SMALL;

const NOTHING = Buffer.alloc(0);
const never = () => false;

/** What a client's side hears. A frame is the whole message, header included, and is valid until the handler returns. */
export interface FrontendHandler {
  message(type: number, frame: Buffer): void;
  /** A piece of a CopyData message, header included, in order; not collected. `starts` marks a message's first piece. */
  copyData(piece: Buffer, starts: boolean): void;
  /** Whether a message over the cap of its type is taken in pieces, up to what PostgreSQL takes. */
  readonly takesLong?: boolean;
  /** A piece of such a message, header included, in order. @param left - bytes of it that are to come */
  longMessage?(type: number, piece: Buffer, left: number): void;
}

/** Splits what a client sends. */
export class FrontendFramer {
  readonly #held = new Parts();
  /** Of a message that passes in pieces: its type, and how much of it is to come. */
  #passing = 0;
  #left = 0;
  /** Of the one that is held, as far as its header is known. */
  #most = 0;

  /** What is held of a message that is not whole, and how long that one is, bytes. */
  get held(): { readonly bytes: number; readonly most: number } {
    return { bytes: this.#held.length, most: this.#most };
  }

  /**
   * Feeds received bytes.
   * @param isEnough - asked before each message but the first, with how many began: whether to stop there
   * @returns what was not looked at: to be fed again, before anything else is
   * @throws FramingError on an unknown type, a length below 4, or one above the cap of its type
   */
  push(chunk: Buffer, handler: FrontendHandler, isEnough: (messages: number) => boolean = never): Buffer {
    let rest = chunk;
    if (this.#left > 0) rest = this.#pass(rest, handler, false);
    if (rest.length === 0) return rest;
    if (this.#held.length > 0) {
      this.#held.add(rest);
      if (!this.#complete(handler)) return NOTHING;
      rest = this.#held.take();
    }
    return this.#split(rest, handler, isEnough);
  }

  /** Whether the collected parts hold a whole message (or the header of one that is not collected). */
  #complete(handler: FrontendHandler): boolean {
    const head = this.#held.head(HEADER);
    if (head === undefined) return false;
    const total = totalLength(head, 0, handler);
    this.#most = total;
    return this.#held.length >= total || passesInPieces(head[0]!, total);
  }

  #split(bytes: Buffer, handler: FrontendHandler, isEnough: (messages: number) => boolean): Buffer {
    let at = 0;
    for (let begun = 0; bytes.length - at >= HEADER; begun += 1) {
      if (begun > 0 && isEnough(begun)) return bytes.subarray(at);
      const type = bytes[at]!;
      const total = totalLength(bytes, at, handler);
      if (passesInPieces(type, total)) {
        this.#passing = type;
        this.#left = total;
        at = bytes.length - this.#pass(bytes.subarray(at), handler, true).length;
        continue;
      }
      this.#most = total;
      if (bytes.length - at < total) break;
      handler.message(type, total === bytes.length ? bytes : bytes.subarray(at, at + total));
      at += total;
    }
    if (at < bytes.length) this.#held.add(bytes.subarray(at));
    return NOTHING;
  }

  #pass(bytes: Buffer, handler: FrontendHandler, starts: boolean): Buffer {
    const size = Math.min(this.#left, bytes.length);
    const piece = bytes.subarray(0, size);
    this.#left -= size;
    if (this.#passing === FRONTEND.copyData) handler.copyData(piece, starts);
    else handler.longMessage?.(this.#passing, piece, this.#left);
    return bytes.subarray(size);
  }
}

function totalLength(bytes: Buffer, at: number, handler: FrontendHandler): number {
  const type = bytes[at]!;
  const most = MOST_OF[type]!;
  if (most === UNKNOWN) throw new FramingError(`message type 0x${type.toString(16)} is unknown`);
  const length = bytes.readInt32BE(at + 1);
  if (length < 4) throw new FramingError(`message length ${length} is impossible`);
  const passes = most > SMALL && length <= LARGEST && handler.takesLong === true;
  if (length > most && !passes)
    throw new FramingError(`a message of ${length} bytes is over the limit of ${most}`, length <= LARGEST);
  return length + 1;
}

function passesInPieces(type: number, total: number): boolean {
  return type === FRONTEND.copyData || total - 1 > MOST_OF[type]!;
}
