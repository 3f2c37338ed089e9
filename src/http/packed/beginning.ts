import { brotliDecompressSync, constants, unzipSync } from 'node:zlib';
import type { Coding } from './coding.js';

/** The beginning of a body, unpacked. */
export interface Beginning {
  readonly bytes: Buffer;
  /** It is all of what was given. */
  readonly isWhole: boolean;
}

/** How much may come of one attempt, bytes: a few milliseconds' work. */
const MOST = 1024 * 1024;
/** Of less, so many times less is tried. */
const LESS = 8;

/**
 * What the beginning of a packed body is, as far as it is there.
 * @param most - how much of it is wanted, bytes
 * @returns null for what cannot be unpacked
 */
export function unpackedBeginning(packed: Buffer, coding: Coding, most: number): Beginning | null {
  if (coding === 'other') return null;
  // Of little much may come (a thousand times as much, and more), and of what is too much nothing is given: less is tried.
  for (let length = packed.byteLength; length > 0; length = Math.floor(length / LESS)) {
    const bytes = unpacked(packed.subarray(0, length), coding, Math.max(MOST, 4 * most));
    if (bytes === 'broken') return null;
    if (bytes.length === 0) return null;
    if (bytes !== 'long')
      return { bytes: bytes.subarray(0, most), isWhole: length === packed.byteLength && bytes.byteLength <= most };
  }
  return null;
}

function unpacked(packed: Buffer, coding: Coding, most: number): Buffer | 'long' | 'broken' {
  try {
    // What is cut off is flushed, and not waited for.
    return coding === 'br'
      ? brotliDecompressSync(packed, { maxOutputLength: most, finishFlush: constants.BROTLI_OPERATION_FLUSH })
      : unzipSync(packed, { maxOutputLength: most, finishFlush: constants.Z_SYNC_FLUSH });
  } catch (thrown) {
    return thrown instanceof RangeError ? 'long' : 'broken';
  }
}
