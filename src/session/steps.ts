import type { Log } from '../log.js';

/** Takes a step of ending or telling a session, which must not keep the next from being taken. */
export function attempt(log: Log, step: () => void): void {
  try {
    step();
  } catch (thrown) {
    log.error({ err: thrown }, 'a step of ending or telling a session failed');
  }
}
