import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { carrierOf } from './connection.js';

/** How often those are looked after that are not read, milliseconds. */
const EACH = 500;

const unread = new Set<Duplex>();
let timer: NodeJS.Timeout | null = null;

/**
 * A connection is not read for now. That its peer has reset it the system tells only who reads or writes: nothing is written to it from
 * time to time, which fails then.
 */
export function notRead(connection: Duplex): void {
  unread.add(connection);
  timer ??= setInterval(look, EACH).unref();
}

/** It is read on, or has ended. */
export function readOn(connection: Duplex): void {
  unread.delete(connection);
}

function look(): void {
  for (const connection of unread) {
    const carrier = carrierOf(connection);
    if (connection.destroyed) unread.delete(connection);
    else if (carrier instanceof Socket && carrier.writable && carrier.writableLength === 0) carrier.write('');
  }
  if (unread.size > 0 || timer === null) return;
  clearInterval(timer);
  timer = null;
}
