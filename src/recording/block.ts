import { promisify } from 'node:util';
import { deflateRaw, deflateRawSync, inflateRawSync } from 'node:zlib';
import { bytesOfValue, decodeEvent, type EncodedEvent, encodeEvent, linked, textOfValue, VALUE_SIZE } from './chain.js';
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

/** So much is deflated at once; of more, another thread does it. */
const DEFLATED_AT_ONCE = 32 * 1024;

const deflated = promisify(deflateRaw);

/** Packs consecutive events into a block that continues the chain at `before`. */
export function packBlock(sessionId: string, before: Buffer, events: readonly RecordedEvent[]): Block {
  const packing = new OpenBlock(sessionId, before);
  for (const event of events) packing.add(event);
  return packing.closeAtOnce();
}

/** A block while its events come: they are encoded and chained one by one, and wait to be written as nothing but bytes. */
export class OpenBlock {
  readonly #sessionId: string;
  readonly #before: Buffer;
  #lines: Lines | null = takeLines();
  #hash: string;
  #firstSeq = 0;
  #lastSeq = 0;
  #fromAt = 0;
  #toAt = 0;
  #events = 0;

  /** @param before - the chain's value before its first event */
  constructor(sessionId: string, before: Buffer) {
    this.#sessionId = sessionId;
    this.#before = before;
    this.#hash = textOfValue(before);
  }

  /** @throws for an event that cannot be encoded: nothing of it is in the block then */
  add(event: RecordedEvent): void {
    this.#hash = this.#open().add(encodeEvent(event), this.#hash);
    if (this.#events === 0) {
      this.#firstSeq = event.seq;
      this.#fromAt = event.at;
    }
    this.#lastSeq = event.seq;
    this.#toAt = event.at;
    this.#events += 1;
  }

  /** How much was encoded, bytes. */
  get bytes(): number {
    return this.#open().length;
  }

  /** The chain's value behind its last event. */
  get hash(): Buffer {
    return bytesOfValue(this.#hash);
  }

  /** Its events, read back. */
  read(): RecordedEvent[] {
    return this.#events === 0 ? [] : eventsOf(this.#open().bytes).map(decodeEvent);
  }

  /** The block, deflated by another thread where that takes long. Nothing can be added or read any more. */
  async close(): Promise<Block> {
    if (this.bytes < DEFLATED_AT_ONCE) return this.closeAtOnce();
    const lines = this.#letGo();
    try {
      return this.#closed(await deflated(lines.bytes, LEVEL));
    } finally {
      giveBack(lines);
    }
  }

  /** As `close`, without waiting. */
  closeAtOnce(): Block {
    const lines = this.#letGo();
    try {
      return this.#closed(compress(lines.bytes));
    } finally {
      giveBack(lines);
    }
  }

  /** Gives up what stands in it. Nothing can be added or read any more. */
  drop(): void {
    giveBack(this.#letGo());
  }

  #open(): Lines {
    if (this.#lines === null) throw new Error('the block is closed');
    return this.#lines;
  }

  /** Once alone: lines that were given back twice would be two blocks' at the same time. */
  #letGo(): Lines {
    const lines = this.#open();
    this.#lines = null;
    return lines;
  }

  #closed(payload: Buffer): Block {
    if (this.#events === 0) throw new RangeError('a block holds at least one event');
    return {
      sessionId: this.#sessionId,
      firstSeq: this.#firstSeq,
      lastSeq: this.#lastSeq,
      fromAt: this.#fromAt,
      toAt: this.#toAt,
      hashBefore: this.#before,
      hashAfter: this.hash,
      payload,
      format: 1,
    };
  }
}

/** Lines as the bytes that they are stored as. */
class Lines {
  #buffer = Buffer.allocUnsafeSlow(FIRST_SIZE);
  #length = 0;

  clear(): void {
    this.#length = 0;
  }

  /** Bytes. */
  get length(): number {
    return this.#length;
  }

  get capacity(): number {
    return this.#buffer.length;
  }

  /** Overwritten by what comes after `clear`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /**
   * @param before - the chain's value before this event, which is hashed from where the header is stored
   * @returns its value behind it
   * @throws where there is no memory for both lines, or no hash: neither is added then
   */
  add({ header, payload }: EncodedEvent, before: string): string {
    this.#makeRoom(VALUE_SIZE + most(header) + most(payload));
    const buffer = this.#buffer;
    let at = this.#length;
    if (at > 0) buffer[at++] = LF;
    const from = at + buffer.write(before, at, 'latin1');
    const to = from + buffer.write(header, from);
    const value = linked(buffer.subarray(at, to));
    buffer.copyWithin(at, from, to);
    at += to - from;
    buffer[at++] = LF;
    this.#length = at + buffer.write(payload, at);
    return value;
  }

  /** @param more - bytes */
  #makeRoom(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.length));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

const LF = 0x0a;
const FIRST_SIZE = 2 * 1024;
/** Of shorter texts it is not counted what they take: three bytes for each UTF-16 code unit at the most. */
const LONG = 16 * 1024;

/** What a line takes at the most, with what stands before it. */
function most(line: string): number {
  return 1 + (line.length < LONG ? 3 * line.length : Buffer.byteLength(line));
}

/** What blocks were encoded into, for the next ones: so many bytes of it in all. */
const free: Lines[] = [];
const MOST_FREE = 4 * 1024 * 1024;
let freeBytes = 0;

function takeLines(): Lines {
  const lines = free.pop();
  if (lines === undefined) return new Lines();
  freeBytes -= lines.capacity;
  return lines;
}

function giveBack(lines: Lines): void {
  lines.clear();
  if (freeBytes + lines.capacity > MOST_FREE) return;
  freeBytes += lines.capacity;
  free.push(lines);
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
  return eventsOf(inflateRawSync(payload, { maxOutputLength: MAX_INFLATED }));
}

/** @throws RangeError for half a pair */
function eventsOf(bytes: Buffer): EncodedEvent[] {
  const lines = bytes.toString('utf8').split('\n');
  if (lines.length % 2 !== 0) throw new RangeError('a block holds pairs of lines');
  const events: EncodedEvent[] = [];
  for (let i = 0; i < lines.length; i += 2) events.push({ header: lines[i]!, payload: lines[i + 1]! });
  return events;
}
