/**
 * Splits the two directions of PostgreSQL's protocol 3 into messages (Frontend/Backend Protocol, section "Message Formats"):
 * one type byte, a 32-bit length that counts itself, the body. A length is never trusted: it is held against a cap for its
 * type, and nothing is allocated from it.
 */
import { Parts } from './parts.js';

/** A peer that does not keep to the framing. `tooLarge` tells a legal message over a cap from nonsense. */
export class FramingError extends Error {
  readonly tooLarge: boolean;

  constructor(message: string, tooLarge = false) {
    super(message);
    this.name = 'FramingError';
    this.tooLarge = tooLarge;
  }
}

const HEADER = 5;
/** PostgreSQL itself never allocates more than this for a message (MaxAllocSize). */
const LARGEST = 0x3fffffff;

const MiB = 1024 * 1024;
const MOST: Readonly<Record<string, number>> = {
  Q: 16 * MiB,
  P: 16 * MiB,
  B: 256 * MiB,
  F: 256 * MiB,
  d: LARGEST,
};
const SMALL = 64 * 1024;

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

  /**
   * Feeds received bytes.
   * @throws FramingError on an unknown type, a length below 4, or one above the cap of its type
   */
  push(chunk: Buffer, handler: FrontendHandler): void {
    let rest = chunk;
    if (this.#left > 0) rest = this.#pass(rest, handler, false);
    if (rest.length === 0) return;
    if (this.#held.length > 0) {
      this.#held.add(rest);
      if (!this.#complete(handler)) return;
      rest = this.#held.take();
    }
    this.#split(rest, handler);
  }

  /** Whether the collected parts hold a whole message (or the header of one that is not collected). */
  #complete(handler: FrontendHandler): boolean {
    const head = this.#held.head(HEADER);
    if (head === undefined) return false;
    const total = totalLength(head, 0, handler);
    return this.#held.length >= total || passesInPieces(head[0]!, total);
  }

  #split(bytes: Buffer, handler: FrontendHandler): void {
    let at = 0;
    while (bytes.length - at >= HEADER) {
      const type = bytes[at]!;
      const total = totalLength(bytes, at, handler);
      if (passesInPieces(type, total)) {
        this.#passing = type;
        this.#left = total;
        at = bytes.length - this.#pass(bytes.subarray(at), handler, true).length;
        continue;
      }
      if (bytes.length - at < total) break;
      handler.message(type, total === bytes.length ? bytes : bytes.subarray(at, at + total));
      at += total;
    }
    if (at < bytes.length) this.#held.add(bytes.subarray(at));
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

/** By type byte, since it is asked for each message. */
const UNKNOWN = -1;
const MOST_OF = new Int32Array(256).fill(UNKNOWN);
for (const type of Object.values(FRONTEND)) MOST_OF[type] = MOST[String.fromCharCode(type)] ?? SMALL;

/**
 * Type bytes of the messages a server may send once the client is in. What belongs to the start alone (authentication, the
 * server's own cancel key, version negotiation) or to what is never asked for (replication) is not among them: a server that sends it has broken the protocol (THREATS.md C22, C23).
 */
export const BACKEND = {
  parseComplete: 0x31,
  bindComplete: 0x32,
  closeComplete: 0x33,
  notification: 0x41,
  commandComplete: 0x43,
  dataRow: 0x44,
  error: 0x45,
  copyIn: 0x47,
  copyOut: 0x48,
  emptyQuery: 0x49,
  notice: 0x4e,
  parameterStatus: 0x53,
  rowDescription: 0x54,
  functionResult: 0x56,
  ready: 0x5a,
  copyDone: 0x63,
  copyData: 0x64,
  noData: 0x6e,
  portalSuspended: 0x73,
  parameterDescription: 0x74,
} as const;

/** Messages whose body the relay reads: collected whole, up to so many bytes. */
const READ: ReadonlyMap<number, number> = new Map([
  [BACKEND.error, MiB],
  [BACKEND.commandComplete, SMALL],
  [BACKEND.ready, 5],
  [BACKEND.portalSuspended, 4],
  [BACKEND.parameterStatus, MiB],
]);
/** The same by type byte, since it is asked for each message: 0 for what passes by unread, -1 for what is unknown. */
const READ_OF = new Int32Array(256).fill(UNKNOWN);
for (const type of Object.values(BACKEND)) READ_OF[type] = READ.get(type) ?? 0;

/** What a server's side hears, for each message as its header is known. */
export interface BackendHandler {
  /**
   * @param type - the type byte
   * @param frame - the whole message for the types the relay reads, null for those that pass by (an error of more than
   * a MiB among them: the server quotes its input)
   * @param length - the whole length, header included
   * @returns what to send to the client instead: of a whole message anything, of one that passes by nothing (`DROP`);
   * undefined to pass it on as it is
   */
  message(type: number, frame: Buffer | null, length: number): Buffer | undefined;
}

/** Nothing in the place of a message. */
export const DROP: Buffer = Buffer.alloc(0);

/**
 * Splits what a server sends. Long messages pass through without being collected; of one up to `SMALL` the end of a chunk
 * is kept until its rest has come, so that what the client has nearly always ends where a message ends and it can still
 * be told why it is cut.
 */
export class BackendFramer {
  /** The beginning of a message that is not whole yet; nothing else. */
  readonly #held = new Parts();
  /** Rows up to this length are collected and read, too; the handler sets it while it wants them. Bytes. */
  rowLimit = 0;
  /** Of a message that has begun to pass, or to be dropped. */
  #left = 0;
  #dropping = false;
  #endPiece = false;

  /** Whether what was answered so far ends in the middle of a message. */
  get midMessage(): boolean {
    return this.#left > 0 && !this.#dropping;
  }

  /** Makes the message that is half-answered end a piece: rows could come for long without one that ends with a chunk. */
  endPieceSoon(): void {
    this.#endPiece = true;
  }

  /**
   * Feeds received bytes.
   * @returns what is to be written to the client, in order: slices of the chunk itself, and the one message that began in
   * the chunk before. Every piece but the last ends where a message ends.
   * @throws FramingError on an unknown type or an impossible length
   */
  push(chunk: Buffer, handler: BackendHandler): Buffer[] {
    const out: Buffer[] = [];
    let rest = chunk;
    if (this.#held.length > 0) {
      rest = this.#fill(chunk);
      if (!this.#isDue()) return out;
      const large = !this.#isCollected(this.#heldTotal()!);
      const held = this.#held.take();
      // A large message passes as it comes, in one piece with what came of its header before.
      if (large && rest.length > 0) rest = Buffer.concat([held, rest]);
      else this.#split(held, handler, out);
    }
    if (rest.length > 0) this.#split(rest, handler, out);
    return out;
  }

  #split(bytes: Buffer, handler: BackendHandler, out: Buffer[]): void {
    let from = 0;
    let at = Math.min(this.#left, bytes.length);
    this.#left -= at;
    if (this.#dropping) from = at;
    this.#dropping &&= this.#left > 0;
    if (this.#endPiece && this.#left === 0) {
      this.#endPiece = false;
      if (at > from) out.push(bytes.subarray(from, at));
      from = at;
    }
    while (bytes.length - at >= HEADER) {
      const type = bytes[at]!;
      const total = backendLength(type, bytes.readInt32BE(at + 1));
      const read = this.#isRead(type, total);
      if (bytes.length - at < total && (read || total <= SMALL)) break;
      const instead = handler.message(type, read ? bytes.subarray(at, at + total) : null, total);
      const here = Math.min(total, bytes.length - at);
      this.#left = total - here;
      if (instead !== undefined && (read || instead === DROP)) {
        if (at > from) out.push(bytes.subarray(from, at));
        if (instead.length > 0) out.push(instead);
        from = at + here;
        this.#dropping = this.#left > 0;
      }
      at += here;
    }
    if (at > from) out.push(bytes.subarray(from, at));
    if (at < bytes.length) this.#held.add(bytes.subarray(at));
  }

  #isRead(type: number, total: number): boolean {
    if (type === BACKEND.dataRow || type === BACKEND.rowDescription) return total <= this.rowLimit;
    return total <= READ_OF[type]! + 1;
  }

  /** Puts what the held message lacks to it, its header first. @returns the rest of the chunk */
  #fill(chunk: Buffer): Buffer {
    const rest = this.#hold(chunk, HEADER - this.#held.length);
    const total = this.#heldTotal();
    return total === null || !this.#isCollected(total) ? rest : this.#hold(rest, total - this.#held.length);
  }

  #hold(chunk: Buffer, size: number): Buffer {
    if (size <= 0 || chunk.length === 0) return chunk;
    this.#held.add(chunk.subarray(0, size));
    return chunk.subarray(size);
  }

  /** Whether the held message is whole, or long enough to pass as it comes. */
  #isDue(): boolean {
    const total = this.#heldTotal();
    return total !== null && (this.#held.length >= total || !this.#isCollected(total));
  }

  #isCollected(total: number): boolean {
    return total <= SMALL || this.#isRead(this.#held.head(HEADER)![0]!, total);
  }

  #heldTotal(): number | null {
    const head = this.#held.head(HEADER);
    return head === undefined ? null : backendLength(head[0]!, head.readInt32BE(1));
  }
}

function backendLength(type: number, length: number): number {
  const most = READ_OF[type]!;
  if (most === UNKNOWN) throw new FramingError(`server message type 0x${type.toString(16)} is unexpected`);
  if (length < 4 || length > LARGEST) throw new FramingError(`server message length ${length} is impossible`);
  if (type === BACKEND.ready && length !== 5) throw new FramingError('a ReadyForQuery has one byte');
  if (most > 0 && length > most && type !== BACKEND.error) {
    throw new FramingError(`a server message of ${length} bytes is over the limit of ${most}`);
  }
  return length + 1;
}
