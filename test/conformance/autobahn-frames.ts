import { createHash } from 'node:crypto';
import { closing as closePayload, masked } from '../http/ws-frames.js';

/* What a case of the Autobahn suite is, and the frames it is made of. */

/** How the bytes of a case are cut: all at once, a write for each frame, or pieces of so many bytes. */
export type Cut = 'whole' | 'frames' | number;

/** What a case waits for before it goes on: so many answers in all, or milliseconds. */
export type Wait = { readonly answers: number } | { readonly pause: number };

/** One case: what is sent, what comes back, what the service is sent, how it ends. */
export interface Case {
  readonly number: string;
  readonly what: string;
  readonly sent: readonly (Buffer | Wait)[];
  readonly cut: Cut;
  /** Messages and pongs that come back. */
  readonly echoed: readonly string[];
  /** Messages, pings, pongs and the close that reach the service. */
  readonly heard: readonly string[];
  /** The code the connection is closed with, 1005 for none; null when it stays open. */
  readonly closed: number | null;
}

export const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];

/** A frame of a client, its first byte taken apart. */
export const frame = (opcode: number, payload: Buffer | string = '', { fin = true, rsv = 0 } = {}) =>
  masked((fin ? 0x80 : 0) | (rsv << 4) | opcode, payload);

export const NOT_FINAL = { fin: false };
export const text = (payload: Buffer | string = '', options = {}) => frame(TEXT, payload, options);
export const more = (payload: Buffer | string = '', options = {}) => frame(CONTINUATION, payload, options);
export const ping = (payload: Buffer | string = '', options = {}) => frame(PING, payload, options);
export const closing = (code = 1000, reason: Buffer | string = '') => frame(CLOSE, closePayload(code, reason));

/** A text in frames of these payloads. */
export function inFrames(parts: readonly (Buffer | string)[]): Buffer[] {
  return parts.map((part, at) => frame(at === 0 ? TEXT : CONTINUATION, part, { fin: at === parts.length - 1 }));
}

/** A message in frames of so many bytes. As in the suite an empty frame ends one that comes out even. */
export function inPieces(opcode: number, bytes: Buffer, size: number): Buffer[] {
  if (bytes.length <= size) return [frame(opcode, bytes)];
  const last = Math.floor(bytes.length / size);
  return Array.from({ length: last + 1 }, (_, at) =>
    frame(at === 0 ? opcode : CONTINUATION, bytes.subarray(at * size, (at + 1) * size), { fin: at === last }),
  );
}

/** From so many bytes on a digest stands for them, so that what a failed test shows can be read. */
const LONG = 1_000;

/** A message, ping or pong in one line. */
export function said(kind: 'text' | 'binary' | 'ping' | 'pong', payload: Buffer | string = ''): string {
  const bytes = Buffer.from(payload);
  if (bytes.length < LONG) return `${kind} ${bytes.toString('latin1')}`;
  return `${kind} of ${bytes.length} bytes, ${createHash('sha256').update(bytes).digest('hex')}`;
}

/** A close in one line: 1005 when it has no code. */
export const left = (code: number, reason: Buffer | string = '') =>
  `close ${code} ${Buffer.from(reason).toString('latin1')}`;

/** What a service is sent for these answers to come back. */
const asked = (echoed: readonly string[]) => echoed.map((line) => line.replace(/^pong/, 'ping'));

/** A case that goes well: the client closes once everything has come back. */
export function passes(
  number: string,
  what: string,
  sent: readonly (Buffer | Wait)[],
  echoed: readonly string[],
  { cut = 'whole', heard = asked(echoed) }: { readonly cut?: Cut; readonly heard?: readonly string[] } = {},
): Case {
  return { number, what, sent, cut, echoed, heard: [...heard, left(1000)], closed: null };
}

/** A case with a fault: what was sent before comes back, and no close of the client reaches the service. */
export function fails(
  number: string,
  what: string,
  sent: readonly (Buffer | Wait)[],
  code: number,
  echoed: readonly string[] = [],
  cut: Cut = 'whole',
): Case {
  return { number, what, sent, cut, echoed, heard: asked(echoed), closed: code };
}

/** A case that closes by itself, with a code and perhaps a reason. */
export function ends(
  number: string,
  what: string,
  sent: readonly Buffer[],
  code: number,
  { echoed = [], reason = '' }: { readonly echoed?: readonly string[]; readonly reason?: string } = {},
): Case {
  return { number, what, sent, cut: 'whole', echoed, heard: [...asked(echoed), left(code, reason)], closed: code };
}

/** Numbers the cases of a group: `6.6.` and 1, 2, 3 … */
export const numbered = <T>(group: string, of: readonly T[], make: (number: string, one: T) => Case) =>
  of.map((one, at) => make(`${group}.${at + 1}`, one));
