import { closePayload, OPCODES } from './frames.js';

/**
 * A whole close frame as a server sends it; the reason is cut to what fits (123 bytes of UTF-8).
 * @param code - `NO_CODE`: the frame has none, and no reason
 */
export function closeFrame(code: number, reason: string): Buffer {
  let text = Buffer.from(reason, 'utf8');
  for (let keep = reason.length; text.byteLength > 123; keep -= 1) text = Buffer.from(reason.slice(0, keep), 'utf8');
  return plainFrame('close', closePayload(code, text));
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
