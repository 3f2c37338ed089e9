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

/** How much is encoded before others have their turn, UTF-16 code units: about a millisecond's work. */
const PIECE = 32 * 1024;

const deflated = promisify(deflateRaw);

/** Packs consecutive events into a block that continues the chain at `before`. */
export function packBlock(sessionId: string, before: Buffer, events: readonly RecordedEvent[]): Block {
  const packing = new Packing(sessionId, before, events);
  while (packing.goOn() > 0);
  return packing.block(compress(packing.text()));
}

/**
 * Encodes and chains the events of one block, a piece at a time: a thousand of them at once would hold up everything else
 * for ten milliseconds, cuts included.
 */
class Packing {
  readonly #sessionId: string;
  readonly #before: Buffer;
  readonly #events: readonly RecordedEvent[];
  readonly #lines: string[] = [];
  #hash: string;
  #next = 0;

  constructor(sessionId: string, before: Buffer, events: readonly RecordedEvent[]) {
    if (events.length === 0) throw new RangeError('a block holds at least one event');
    this.#sessionId = sessionId;
    this.#before = before;
    this.#events = events;
    this.#hash = textOfValue(before);
  }

  /** Encodes some of the events. @returns how much it was, UTF-16 code units; 0 when there are no more */
  goOn(): number {
    let size = 0;
    for (; size < PIECE && this.#next < this.#events.length; this.#next += 1) {
      const { header, payload } = encodeEvent(this.#events[this.#next]!);
      this.#hash = linked(this.#hash, header);
      this.#lines.push(header, payload);
      size += header.length + payload.length + 2;
    }
    return size;
  }

  text(): string {
    return this.#lines.join('\n');
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
  #sinceTurn = 0;

  /** As `packBlock`; what takes long to deflate is given to another thread. Rejects for events that cannot be encoded. */
  async pack(sessionId: string, before: Buffer, events: readonly RecordedEvent[]): Promise<Block> {
    const packing = new Packing(sessionId, before, events);
    for (let size = packing.goOn(); size > 0; size = packing.goOn()) {
      this.#sinceTurn += size;
      if (this.#sinceTurn >= PIECE) await this.#turn();
    }
    const text = packing.text();
    return packing.block(text.length < PIECE ? compress(text) : await deflated(text, LEVEL));
  }

  async #turn(): Promise<void> {
    this.#sinceTurn = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Below this, in UTF-16 code units, making zlib's tables costs more than all the rest and saves a hundred bytes. */
const NOT_DEFLATED = 512;
/** What fits into small tables, whose making is half of the cost of a small block. */
const SMALL = 4 * 1024;
const SMALL_TABLES = { level: 1, windowBits: 12, memLevel: 4 } as const;
const LEVEL = { level: 1 } as const;

/** Any of the forms is a raw deflate stream (RFC 1951): readers need not know which. */
function compress(text: string): Buffer {
  if (text.length < NOT_DEFLATED) return stored(text);
  return deflateRawSync(text, text.length < SMALL ? SMALL_TABLES : LEVEL);
}

/** One final block "with no compression" (RFC 1951 section 3.2.4): a length, its complement, and the bytes as they are. */
function stored(text: string): Buffer {
  const size = Buffer.byteLength(text);
  const out = Buffer.allocUnsafe(5 + size);
  out[0] = 1;
  out.writeUInt16LE(size, 1);
  out.writeUInt16LE(0xffff - size, 3);
  out.write(text, 5);
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
