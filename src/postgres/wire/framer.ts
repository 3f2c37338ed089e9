/**
 * Splits the two directions of PostgreSQL's protocol 3 into messages (Frontend/Backend Protocol, section "Message Formats"):
 * one type byte, a 32-bit length that counts itself, the body. A length is never trusted: it is held against a cap for its
 * type, and nothing is allocated from it.
 */

/** A peer that does not keep to the framing. `tooLarge` tells a legal message over a cap from nonsense. */
export class FramingError extends Error {
  readonly tooLarge: boolean;

  constructor(message: string, tooLarge = false) {
    super(message);
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
}

/** Splits what a client sends. */
export class FrontendFramer {
  #parts: Buffer[] = [];
  #held = 0;
  #copyLeft = 0;

  /**
   * Feeds received bytes.
   * @throws FramingError on an unknown type, a length below 4, or one above the cap of its type
   */
  push(chunk: Buffer, handler: FrontendHandler): void {
    let rest = chunk;
    if (this.#copyLeft > 0) rest = this.#passCopy(rest, handler, false);
    if (rest.length === 0) return;
    if (this.#held > 0) {
      this.#parts.push(rest);
      this.#held += rest.length;
      if (!this.#complete()) return;
      rest = Buffer.concat(this.#parts, this.#held);
      this.#parts = [];
      this.#held = 0;
    }
    this.#split(rest, handler);
  }

  /** Whether the collected parts hold a whole message (or enough of a header to go on with). */
  #complete(): boolean {
    if (this.#held < HEADER) return false;
    if (this.#parts[0]!.length < HEADER) this.#parts = [Buffer.concat(this.#parts, this.#held)];
    const [first] = this.#parts;
    return first![0] === FRONTEND.copyData || this.#held >= totalLength(first!, 0);
  }

  #split(bytes: Buffer, handler: FrontendHandler): void {
    let rest = bytes;
    while (rest.length >= HEADER) {
      const total = totalLength(rest, 0);
      if (rest[0] === FRONTEND.copyData) {
        this.#copyLeft = total;
        rest = this.#passCopy(rest, handler, true);
        continue;
      }
      if (rest.length < total) break;
      handler.message(rest[0]!, rest.subarray(0, total));
      rest = rest.subarray(total);
    }
    if (rest.length > 0) {
      this.#parts = [rest];
      this.#held = rest.length;
    }
  }

  #passCopy(bytes: Buffer, handler: FrontendHandler, starts: boolean): Buffer {
    const size = Math.min(this.#copyLeft, bytes.length);
    this.#copyLeft -= size;
    handler.copyData(bytes.subarray(0, size), starts);
    return bytes.subarray(size);
  }
}

function totalLength(bytes: Buffer, at: number): number {
  const type = bytes[at]!;
  if (!KNOWN.has(type)) throw new FramingError(`message type 0x${type.toString(16)} is unknown`);
  const length = bytes.readInt32BE(at + 1);
  if (length < 4) throw new FramingError(`message length ${length} is impossible`);
  const most = MOST[String.fromCharCode(type)] ?? SMALL;
  if (length > most) throw new FramingError(`a message of ${length} bytes is over the limit of ${most}`, length <= LARGEST);
  return length + 1;
}

const KNOWN: ReadonlySet<number> = new Set(Object.values(FRONTEND));

/** Type bytes of a server's messages that the relay reads; all others pass by unread. */
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
  keyData: 0x4b,
  notice: 0x4e,
  authentication: 0x52,
  parameterStatus: 0x53,
  rowDescription: 0x54,
  functionResult: 0x56,
  copyBoth: 0x57,
  ready: 0x5a,
  copyDone: 0x63,
  copyData: 0x64,
  noData: 0x6e,
  portalSuspended: 0x73,
  parameterDescription: 0x74,
  negotiate: 0x76,
} as const;

/** Messages whose body the relay reads: collected whole, and therefore capped. */
const READ: ReadonlySet<number> = new Set([BACKEND.error, BACKEND.commandComplete, BACKEND.ready, BACKEND.parameterStatus]);
const PASSED: ReadonlySet<number> = new Set(Object.values(BACKEND));
const MOST_READ = MiB;

/** What a server's side hears, for each message as its header is known. */
export interface BackendHandler {
  /**
   * @param type - the type byte
   * @param frame - the whole message for the types the relay reads, null for those that pass by
   * @param length - the whole length, header included
   * @returns what to send to the client instead; undefined to pass the message on as it is
   */
  message(type: number, frame: Buffer | null, length: number): Buffer | undefined;
}

/** Splits what a server sends, passing rows and copy data through without collecting them. */
export class BackendFramer {
  #carry: Buffer | null = null;
  #left = 0;

  /** Whether the client has got the beginning of a message and not its end. */
  get midMessage(): boolean {
    return this.#left > 0;
  }

  /**
   * Feeds received bytes.
   * @returns what is to be written to the client, in order: mostly one slice of the chunk itself
   * @throws FramingError on an unknown type or an impossible length
   */
  push(chunk: Buffer, handler: BackendHandler): Buffer[] {
    const bytes = this.#carry === null ? chunk : Buffer.concat([this.#carry, chunk]);
    this.#carry = null;
    const out: Buffer[] = [];
    let from = 0;
    let at = Math.min(this.#left, bytes.length);
    this.#left -= at;
    while (at < bytes.length) {
      if (bytes.length - at < HEADER) break;
      const type = bytes[at]!;
      const total = backendLength(type, bytes.readInt32BE(at + 1));
      const read = READ.has(type);
      if (read && bytes.length - at < total) break;
      const instead = handler.message(type, read ? bytes.subarray(at, at + total) : null, total);
      if (instead !== undefined) {
        if (at > from) out.push(bytes.subarray(from, at));
        if (instead.length > 0) out.push(instead);
        from = at + total;
      }
      const here = Math.min(total, bytes.length - at);
      this.#left = total - here;
      at += here;
    }
    if (at > from) out.push(bytes.subarray(from, at));
    if (at < bytes.length) this.#carry = bytes.subarray(at);
    return out;
  }
}

function backendLength(type: number, length: number): number {
  if (!PASSED.has(type)) throw new FramingError(`server message type 0x${type.toString(16)} is unknown`);
  if (length < 4 || length > LARGEST) throw new FramingError(`server message length ${length} is impossible`);
  if (READ.has(type) && length > MOST_READ) throw new FramingError(`a server message of ${length} bytes is over the limit`);
  return length + 1;
}
