import { randomBytes } from 'node:crypto';

/** The instant of the last id, and its place among those of that instant. */
let last = { now: -1, place: 0 };

/**
 * A UUIDv7 (RFC 9562 section 5.7): sorted by time, so that blocks can be partitioned by session id. Of one millisecond those
 * that this process makes one after the other are sorted too (section 6.2, method 1), by a counter that begins at random in
 * its lower half: only beyond two thousand of them it may start over, which costs their order and nothing else.
 */
export function uuid7(now: number): string {
  const bytes = randomBytes(16);
  const place = now === last.now ? last.place + 1 : bytes.readUInt16BE(6) & 0x07ff;
  last = { now, place };
  bytes.writeUIntBE(now, 0, 6);
  bytes.writeUInt16BE(0x7000 | (place & 0x0fff), 6);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The smallest UUIDv7 of an instant: the bound of a range partition or of a search by time. */
export function uuid7Floor(at: number): string {
  const hex = at.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-000000000000`;
}
