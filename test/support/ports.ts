import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Where a port is looked for: below those that systems give to whoever asks for any (Linux from 32768 on), so that none of the
 * thousands of connections and listeners of a test run is given it before the server it is meant for has it, or while that
 * server is down.
 */
const FIRST = 12_000;
const PORTS = 20_000;
/** Test files that run side by side begin so far from each other, whatever their process ids are. */
const STRIDE = 37;

let next = (process.pid * STRIDE) % PORTS;

/** A loopback TCP port that was free a moment ago, and another one at each call. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < PORTS; tried += 1) {
    const port = FIRST + next;
    next = (next + 1) % PORTS;
    if (await isFree(port)) return port;
  }
  throw new Error('no port is free');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false; // somebody has it
  }
  server.close();
  await once(server, 'close');
  return true;
}
