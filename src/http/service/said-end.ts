import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { getSystemErrorName } from 'node:util';
import type { OutlivedWrites } from './outlived-writes.js';

/** Of an end that counts as nobody's. */
const UNSAID = 'the connection ended without a word of the service';

/**
 * Tells how a connection ended, as soon as that is known: with null where the service has said so. To be called in a listener
 * of `end`.
 * @param isStopped - nothing was being read, so that the end below cannot have been seen
 */
export function tellEnd(
  socket: Duplex,
  writes: OutlivedWrites,
  isStopped: boolean,
  told: (fault: Error | null) => void,
): void {
  const isSaid = hasSaidItsEnd(socket, isStopped);
  writes.whenTold(() => told(writes.isReset() ? writes.error : isSaid ? null : new Error(UNSAID)));
}

/**
 * Whether a connection ended because the service said so. Under TLS that takes a `close_notify` (RFC 8446 section 6.1): anybody on
 * the way can end the connection below it, and cut an answer short that its end delimits (RFC 9112 section 9.8). Node tells of
 * both by the same `end`; but only in the latter case the connection below has nothing more to read. Where that cannot be
 * found out, the end counts as nobody's.
 */
function hasSaidItsEnd(socket: Duplex, isStopped: boolean): boolean {
  if (!(socket instanceof TLSSocket) || isStopped) return true;
  const below: unknown = Reflect.get(Object(Reflect.get(socket, '_handle')), '_parent');
  return isHandle(below) && isStillReading(below);
}

interface Handle {
  /** @returns 0, or a code of libuv: `EALREADY` of what is being read, and has not ended */
  readStart(): number;
}

function isHandle(handle: unknown): handle is Handle {
  return typeof handle === 'object' && handle !== null && 'readStart' in handle;
}

function isStillReading(below: Handle): boolean {
  const code = below.readStart();
  return code < 0 && getSystemErrorName(code) === 'EALREADY';
}
