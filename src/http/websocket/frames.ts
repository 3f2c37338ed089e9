/* What all go by that read WebSocket frames, of clients and of services, or write them (RFC 6455 section 5.2). */

export type DataFrame = 'text' | 'binary';
export type ControlFrame = 'close' | 'ping' | 'pong';

/** By opcode. */
export const DATA: Readonly<Record<number, DataFrame>> = { 1: 'text', 2: 'binary' };
export const CONTROL: Readonly<Record<number, ControlFrame>> = { 8: 'close', 9: 'ping', 10: 'pong' };
/** The other way round. */
export const OPCODES = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** What is said of a close frame without a code (section 7.4.1). */
export const NO_CODE = 1005;

/**
 * What is wrong with the first two bytes of a frame; null when nothing is.
 * @param message - the one of which frames are still to come
 * @param maskFault - what is wrong with its mask, which clients must use and services must not
 */
export function faultOfStart(
  first: number,
  second: number,
  message: DataFrame | null,
  maskFault: string | null,
): string | null {
  const opcode = first & 0x0f;
  const isFinal = (first & 0x80) !== 0;
  const length = second & 0x7f;
  if ((first & 0x70) !== 0) return 'reserved bits without an extension';
  if (maskFault !== null) return maskFault;
  if ((opcode & 0x07) > 2) return 'a reserved opcode';
  if (opcode >= 8 && (length > 125 || !isFinal)) return 'a control frame that is too long or fragmented';
  if (opcode === 8 && length === 1) return 'half a close code';
  if (opcode === 0 && message === null) return 'the continuation of no message';
  return opcode > 0 && opcode < 8 && message !== null ? 'a message within a message' : null;
}

/** The least length that is written in this form: each in its shortest. */
export function shortest(short: number): number {
  if (short === 126) return 126;
  return short === 127 ? 65_536 : 0;
}

/** Whether a close frame may have this code (RFC 6455 section 7.4, and the registry it founds). */
export function isCloseCode(code: number): boolean {
  return (code >= 3000 && code < 5000) || (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006));
}

/** The payload of a close frame. @param code - `NO_CODE`: it is empty, whatever the reason (section 5.5.1) */
export function closePayload(code: number, reason: Buffer): Buffer {
  if (code === NO_CODE) return Buffer.alloc(0);
  const payload = Buffer.alloc(2 + reason.length);
  payload.writeUInt16BE(code);
  reason.copy(payload, 2);
  return payload;
}
