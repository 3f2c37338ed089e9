import { randomBytes } from 'node:crypto';

/** When an id was made: milliseconds since the epoch. */
export function timeOfUuid7(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/** The most that fits behind the time, 12 bits; a millisecond begins in the lower half, so that there is room to count on. */
const MOST = 0x0fff;
/** The last id of this process: its time, and what stands behind that. */
const last = { at: -1, count: 0 };

/**
 * A UUIDv7 (RFC 9562 section 5.7): sorted by time, so that blocks can be partitioned by session id. Those that this process makes
 * within one millisecond are counted on (section 6.2, method 1), so that lists and their pages have them in the order in which
 * they were made; beyond some thousand a millisecond chance orders them.
 */
export function uuid7(now: number): string {
  const bytes = randomBytes(16);
  last.count = now === last.at ? Math.min(last.count + 1, MOST) : bytes.readUInt16BE(6) & (MOST >> 1);
  last.at = now;
  bytes.writeUIntBE(now, 0, 6);
  bytes.writeUInt16BE(0x7000 | last.count, 6);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
