import { setTimeout as pause } from 'node:timers/promises';

/** How long a test waits for what must come, seconds: far longer than it takes, and shorter than a runner's patience. */
const PATIENCE = 60;

/**
 * Waits for something that must come to be. A test that waits without a bound fails as a time limit of the whole file, which
 * says nothing.
 * @throws Error naming what did not come
 */
export async function waitUntil(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { seconds = PATIENCE, every = 10 } = {},
): Promise<void> {
  const until = performance.now() + seconds * 1_000;
  while (!(await holds())) {
    if (performance.now() > until) throw new Error(`${what}: not within ${seconds} s`);
    await pause(every);
  }
}

/** Resolves when a socket is closed, however: `once` of node:events would reject at a reset, which is a way to close. */
export function closed(socket: { once(event: 'close', done: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => void socket.once('close', () => resolve()));
}
