import { randomFillSync } from 'node:crypto';
import { type ControlFrame, type DataFrame, OPCODES } from './frames.js';
import { copyMasked } from './masking.js';

/** Keys that were not used yet, drawn many at a time. */
const keys = Buffer.alloc(4 * 1024);
let nextKey = keys.length;

/**
 * A whole frame as a client writes it, in one buffer (RFC 6455 section 5.2), its payload copied and masked. Its key is our
 * own: who could foresee it, or choose it as the client chooses its own, would say what bytes are on the way to the service
 * (section 10.3).
 */
export function maskedFrame(kind: DataFrame | ControlFrame, payload: Buffer): Buffer {
  const { length } = payload;
  const at = length < 126 ? 6 : length < 65_536 ? 8 : 14;
  const frame = Buffer.allocUnsafe(at + length);
  frame[0] = 0x80 | OPCODES[kind];
  if (at === 6) frame[1] = 0x80 | length;
  else writeLength(frame, length);
  const key = freshKey();
  frame.writeInt32LE(key, at - 4);
  copyMasked(frame, at, { bytes: payload, from: 0, to: length }, key);
  return frame;
}

function writeLength(frame: Buffer, length: number): void {
  frame[1] = 0x80 | (length < 65_536 ? 126 : 127);
  if (length < 65_536) frame.writeUInt16BE(length, 2);
  else frame.writeBigUInt64BE(BigInt(length), 2);
}

function freshKey(): number {
  if (nextKey === keys.length) {
    randomFillSync(keys);
    nextKey = 0;
  }
  nextKey += 4;
  return keys.readInt32LE(nextKey - 4);
}
