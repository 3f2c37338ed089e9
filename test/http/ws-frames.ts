/*
 * WebSocket frames (RFC 6455 section 5.2), right or wrong but for their lengths: not those of src/, which the tests are about.
 * `first` is the first byte: whether it is the last of its message, the reserved bits, the opcode.
 */

/** The key of the examples of RFC 6455, section 5.7. */
const KEY = [0x37, 0xfa, 0x21, 0x3d];

/** A frame as a client sends it. */
export function masked(first: number, payload: Buffer | string = '', key: readonly number[] = KEY): Buffer {
  const data = Buffer.from(payload); // a copy
  const { length } = data;
  for (let at = 0; at < length; at += 1) data[at] = (data[at] ?? 0) ^ (key[at & 3] ?? 0);
  return Buffer.concat([Buffer.from([first, ...lengthOf(length, 0x80), ...key]), data]);
}

/** A frame as a service sends it. */
export function unmasked(first: number, payload: Buffer | string = ''): Buffer {
  const data = Buffer.from(payload);
  return Buffer.concat([Buffer.from([first, ...lengthOf(data.length, 0)]), data]);
}

/** The payload of a close frame. */
export const closing = (code: number, reason: Buffer | string = '') =>
  Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);

/** A length in its shortest form. @param bit - the first bit of its first byte, which says whether the frame is masked */
function lengthOf(length: number, bit: 0 | 0x80): number[] {
  if (length < 126) return [bit | length];
  if (length < 65_536) return [bit | 126, length >> 8, length & 0xff];
  const long = Buffer.alloc(8);
  long.writeBigUInt64BE(BigInt(length));
  return [bit | 127, ...long];
}
