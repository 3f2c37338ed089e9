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
    payload: deflateRawSync(lines.join('\n'), { level: 1 }),
    format: 1,
  };
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
