import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { type EncodedEvent, encodeEvent, link } from './chain.js';
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

/** Packs consecutive events into a block that continues the chain at `before`. */
export function packBlock(sessionId: string, before: Buffer, events: readonly RecordedEvent[]): Block {
  const first = events[0];
  const last = events[events.length - 1];
  if (first === undefined || last === undefined) throw new RangeError('a block holds at least one event');
  let hash = before;
  const lines: string[] = [];
  for (const event of events) {
    const { header, payload } = encodeEvent(event);
    hash = link(hash, header);
    lines.push(header, payload);
  }
  return {
    sessionId,
    firstSeq: first.seq,
    lastSeq: last.seq,
    fromAt: first.at,
    toAt: last.at,
    hashBefore: before,
    hashAfter: hash,
    payload: compress(lines.join('\n')),
    format: 1,
  };
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
