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
 * Brotli fills its window before it is heard that this is too much (of this size: 2 to 7 ms): nothing with a larger one is tried, and
 * no less of a body than so many bytes.
 */
const BROTLI_WINDOW = 4 * 1024 * 1024;
const LEAST_BROTLI = 8 * 1024;
/** So much may come in one turn, bytes: a session that is cut may have hundreds of bodies, and the others wait meanwhile. */
const MOST_IN_TURN = 32 * 1024 * 1024;

/** What came in this turn, or would have. */
let came = 0;

/**
 * What the beginning of a packed body is, as far as it is there.
 * @param most - how much of it is wanted, bytes
 * @returns null for what cannot be unpacked, not to its end, or not now
 */
export function unpackedBeginning(packed: Buffer, coding: Coding, most: number): Beginning | null {
  if (coding === 'other' || (coding === 'br' && hasWideWindow(packed))) return null;
  const least = coding === 'br' ? LEAST_BROTLI : 1;
  let length = packed.byteLength;
  // Of little much may come (a thousand times as much, and more), and of what is too much nothing is given: less is tried.
  do {
    if (came > MOST_IN_TURN) return null;
    const bytes = unpacked(packed.subarray(0, length), coding, Math.max(MOST, 4 * most));
    if (bytes === 'broken') return null;
    if (bytes !== 'long') return bytes.length === 0 ? null : beginningOf(bytes, most, length === packed.byteLength);
    length = Math.floor(length / LESS);
  } while (length >= least);
  return null;
}

function beginningOf(bytes: Buffer, most: number, isAll: boolean): Beginning {
  return { bytes: bytes.subarray(0, most), isWhole: isAll && bytes.byteLength <= most };
}

/** RFC 7932 section 9.1: WBITS of 23 or 24. */
function hasWideWindow(packed: Buffer): boolean {
  return ((packed[0] ?? 0) & 0b1101) === 0b1101;
}

function unpacked(packed: Buffer, coding: Coding, most: number): Buffer | 'long' | 'broken' {
  const options = { info: true, maxOutputLength: most } as const;
  try {
    // What is cut off is flushed, and not waited for.
    const { buffer, engine } =
      coding === 'br'
        ? brotliDecompressSync(packed, { ...options, finishFlush: constants.BROTLI_OPERATION_FLUSH })
        : unzipSync(packed, { ...options, finishFlush: constants.Z_SYNC_FLUSH });
    count(buffer.byteLength);
    // Others may read on behind what is its end here.
    return engine.bytesWritten < packed.byteLength ? 'broken' : buffer;
  } catch (thrown) {
    count(coding === 'br' ? BROTLI_WINDOW : most);
    return thrown instanceof RangeError ? 'long' : 'broken';
  }
}

function count(bytes: number): void {
  if (came === 0) setImmediate(() => (came = 0));
  came += bytes;
}

/** `info` is documented, and missing in the types. */
declare module 'zlib' {
  interface Informed {
    readonly buffer: Buffer;
    readonly engine: { readonly bytesWritten: number };
  }
  function unzipSync(packed: Buffer, options: ZlibOptions & { info: true }): Informed;
  function brotliDecompressSync(packed: Buffer, options: BrotliOptions & { info: true }): Informed;
}
