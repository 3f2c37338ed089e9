import { promisify } from 'node:util';
import { deflateRaw, deflateRawSync, inflateRawSync } from 'node:zlib';
import { bytesOfValue, type EncodedEvent, encodeEvent, linked, textOfValue } from './chain.js';
import type { RecordedEvent } from './event.js';

/** One row of evidence: the events of one session that were flushed together. */
export interface Block {
  readonly sessionId: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Milliseconds since the epoch. */
  readonly fromAt: number;
  readonly toAt: number;
  readonly hashBefore: Buffer;
  readonly hashAfter: Buffer;
  readonly payload: Buffer;
  readonly format: 1;
}

/** A hostile or damaged block must not exhaust memory when it is read. */
const MAX_INFLATED = 256 * 1024 * 1024;

/** How much is encoded before others have their turn, bytes: about half a millisecond's work. */
const PIECE = 16 * 1024;
/** So much is deflated at once; of more, another thread does it. */
const DEFLATED_AT_ONCE = 32 * 1024;

const deflated = promisify(deflateRaw);

/** Packs consecutive events into a block that continues the chain at `before`. */
export function packBlock(sessionId: string, before: Buffer, events: readonly RecordedEvent[]): Block {
  const packing = new Packing(sessionId, before, events, new Lines());
  while (packing.goOn() > 0);
  return packing.block(compress(packing.bytes));
}

/**
 * Lines as the bytes that they are stored as. Not texts in a list: thousands of those live just long enough for each collection of
 * the young to carry them along.
 */
class Lines {
  #buffer = Buffer.allocUnsafeSlow(4 * 1024);
  #length = 0;

  clear(): void {
    this.#length = 0;
    if (this.#buffer.length > MOST_KEPT) this.#buffer = Buffer.allocUnsafeSlow(MOST_KEPT);
  }

  /** Bytes. */
  get length(): number {
    return this.#length;
  }

  /** Overwritten by what comes after `clear`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  add(line: string): void {
    this.#makeRoom(1 + (line.length < LONG ? 3 * line.length : Buffer.byteLength(line)));
    if (this.#length > 0) {
      this.#buffer[this.#length] = LF;
      this.#length += 1;
    }
    this.#length += this.#buffer.write(line, this.#length);
  }

  /** @param most - bytes */
  #makeRoom(most: number): void {
    const needed = this.#length + most;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.length));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

const LF = 0x0a;
/** Of shorter texts it is not counted what they take: three bytes for each UTF-16 code unit at the most. */
const LONG = 16 * 1024;
/** What is kept for the next block, bytes. */
const MOST_KEPT = 1024 * 1024;

/**
 * Encodes and chains the events of one block, a piece at a time: a thousand of them at once would hold up everything else
 * for ten milliseconds, cuts included.
 */
class Packing {
  readonly #sessionId: string;
  readonly #before: Buffer;
  readonly #events: readonly RecordedEvent[];
  readonly #lines: Lines;
  #hash: string;
  #next = 0;

  constructor(sessionId: string, before: Buffer, events: readonly RecordedEvent[], lines: Lines) {
    if (events.length === 0) throw new RangeError('a block holds at least one event');
    this.#sessionId = sessionId;
    this.#before = before;
    this.#events = events;
    this.#lines = lines;
    this.#hash = textOfValue(before);
    lines.clear();
  }

  /** Encodes some of the events. @returns how much it was, bytes; 0 when there are no more */
  goOn(): number {
    const lines = this.#lines;
    const before = lines.length;
    for (; lines.length < before + PIECE && this.#next < this.#events.length; this.#next += 1) {
      const { header, payload } = encodeEvent(this.#events[this.#next]!);
      this.#hash = linked(this.#hash, header);
      lines.add(header);
      lines.add(payload);
    }
    return lines.length - before;
  }

  get bytes(): Buffer {
    return this.#lines.bytes;
  }

  /** The block, once all events are encoded. */
  block(payload: Buffer): Block {
    const first = this.#events[0]!;
    const last = this.#events[this.#events.length - 1]!;
    return {
      sessionId: this.#sessionId,
      firstSeq: first.seq,
      lastSeq: last.seq,
      fromAt: first.at,
      toAt: last.at,
      hashBefore: this.#before,
      hashAfter: bytesOfValue(this.#hash),
      payload,
      format: 1,
    };
  }
}

/** Packs blocks one after the other, and lets others have their turn whenever a piece was done. */
export class PackingInTurns {
  readonly #lines = new Lines();
  #sinceTurn = 0;

  /**
   * As `packBlock`; what takes long to deflate is given to another thread. To be called again only when the last block is there.
   * Rejects for events that cannot be encoded.
   */
  async pack(sessionId: string, before: Buffer, events: readonly RecordedEvent[]): Promise<Block> {
    const packing = new Packing(sessionId, before, events, this.#lines);
    for (let size = packing.goOn(); size > 0; size = packing.goOn()) {
      this.#sinceTurn += size;
      if (this.#sinceTurn >= PIECE) await this.#turn();
    }
    const { bytes } = packing;
    const block = packing.block(bytes.length < DEFLATED_AT_ONCE ? compress(bytes) : await deflated(bytes, LEVEL));
    this.#lines.clear();
    return block;
  }

  async #turn(): Promise<void> {
    this.#sinceTurn = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Below this, bytes, making zlib's tables costs more than all the rest and saves a hundred bytes. */
const NOT_DEFLATED = 512;
/** What fits into small tables, whose making is half of the cost of a small block. */
const SMALL = 4 * 1024;
const SMALL_TABLES = { level: 1, windowBits: 12, memLevel: 4 } as const;
const LEVEL = { level: 1 } as const;

/** Any of the forms is a raw deflate stream (RFC 1951): readers need not know which. */
function compress(bytes: Buffer): Buffer {
  if (bytes.length < NOT_DEFLATED) return stored(bytes);
  return deflateRawSync(bytes, bytes.length < SMALL ? SMALL_TABLES : LEVEL);
}

/** One final block "with no compression" (RFC 1951 section 3.2.4): a length, its complement, and the bytes as they are. */
function stored(bytes: Buffer): Buffer {
  const out = Buffer.allocUnsafe(5 + bytes.length);
  out[0] = 1;
  out.writeUInt16LE(bytes.length, 1);
  out.writeUInt16LE(0xffff - bytes.length, 3);
  bytes.copy(out, 5);
  return out;
}

/** The events of a stored block, still encoded. Throws on a format or a payload that is not ours. */
export function unpackBlock(payload: Uint8Array, format: number): EncodedEvent[] {
  if (format !== 1) throw new RangeError(`block format ${format} is unknown`);
  const lines = inflateRawSync(payload, { maxOutputLength: MAX_INFLATED }).toString('utf8').split('\n');
  if (lines.length % 2 !== 0) throw new RangeError('a block holds pairs of lines');
  const events: EncodedEvent[] = [];
  for (let i = 0; i < lines.length; i += 2) events.push({ header: lines[i]!, payload: lines[i + 1]! });
  return events;
}
