import { closePayload, OPCODES } from './frames.js';

/** What fits behind the code of a close frame (RFC 6455 section 5.5), bytes. */
const MOST_REASON = 123;

/**
 * A whole close frame as a server sends it; the reason is cut to what fits, between two characters. It may name a path of 16 KiB.
 * @param code - `NO_CODE`: the frame has none, and no reason
 */
export function closeFrame(code: number, reason: string): Buffer {
  const text = Buffer.alloc(MOST_REASON);
  const { written } = new TextEncoder().encodeInto(reason, text);
  return plainFrame('close', closePayload(code, text.subarray(0, written)));
}

/** A whole text message as a server sends it, in one frame; at most 65,535 bytes of UTF-8. */
export function textFrame(text: string): Buffer {
  return plainFrame('text', Buffer.from(text, 'utf8'));
}

function plainFrame(kind: 'close' | 'text', payload: Buffer): Buffer {
  const { length } = payload;
  const first = 0x80 | OPCODES[kind];
  const head = length < 126 ? [first, length] : [first, 126, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), payload]);
}
