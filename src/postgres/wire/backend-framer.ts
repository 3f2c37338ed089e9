import { FramingError, HEADER, LARGEST, MiB, SMALL, UNKNOWN } from './framing.js';
import { Parts } from './parts.js';

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
