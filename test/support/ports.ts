import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/**
 * Below what systems give out by themselves (Linux from 32768 on, others from 49152): between our look at such a port and its use,
 * or while its server is down for a moment, no connection and no listener of anybody else comes by it.
 */
const LOWEST = 10_000;
const COUNT = 20_000;
/** A test file asks for fewer: two that run side by side begin far apart. */
const APART = 97;

let next = (process.pid * APART) % COUNT;

/** A loopback TCP port that is free, and that nobody else is given. */
export async function freePort(): Promise<number> {
  for (let left = COUNT; left > 0; left -= 1) {
    const port = LOWEST + next;
    next = (next + 1) % COUNT;
    if (await isFree(port)) return port;
  }
  throw new Error('no port is free');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}

/** The port of a server, by what it tells of its address. */
export function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('not listening on a port');
  return address.port;
}
