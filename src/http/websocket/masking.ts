/* The masking of frames (RFC 6455 section 5.3). A key is a number here: its four bytes, the first one lowest. */

/** Fewer bytes than this are done sooner one by one than four at a time, for which a view has to be made. */
const BY_FOUR = 192;

/** A key as it lies in memory, whichever order this machine writes numbers in. */
const keyBytes = new Uint8Array(4);
const keyWord = new Int32Array(keyBytes.buffer);

/** The key as it stands after some bytes of its frame. */
export function rotated(key: number, bytes: number): number {
  const bits = (bytes & 3) << 3;
  return bits === 0 ? key : (key >>> bits) | (key << (32 - bits));
}

/** Some bytes of a buffer. */
export interface Stretch {
  readonly bytes: Buffer;
  readonly from: number;
  readonly to: number;
}

/** Copies bytes to `target`, from `at` on, and masks them there; masked ones become plain. */
export function copyMasked(target: Buffer, at: number, { bytes, from, to }: Stretch, key: number): void {
  const length = to - from;
  if (length < BY_FOUR) {
    for (let i = 0; i < length; i += 1) target[at + i] = (bytes[from + i] ?? 0) ^ (key >>> ((i & 3) << 3));
    return;
  }
  bytes.copy(target, at, from, to);
  const aligned = at + (-(target.byteOffset + at) & 3);
  const words = (at + length - aligned) >> 2;
  maskBytes(target, at, aligned, key);
  maskWords(new Int32Array(target.buffer, target.byteOffset + aligned, words), rotated(key, aligned - at));
  maskBytes(target, aligned + 4 * words, at + length, rotated(key, aligned - at));
}

function maskBytes(target: Buffer, from: number, to: number, key: number): void {
  for (let at = from; at < to; at += 1) target[at] = (target[at] ?? 0) ^ (key >>> (((at - from) & 3) << 3));
}

function maskWords(words: Int32Array, key: number): void {
  for (let i = 0; i < 4; i += 1) keyBytes[i] = key >>> (i << 3);
  const word = keyWord[0] ?? 0;
  for (let i = 0; i < words.length; i += 1) words[i] = (words[i] ?? 0) ^ word;
}
