import { messageOf } from '../errors.js';
import { Browsers, type BrowsersParts } from './browsers.js';
import { type GrantBook, Handovers } from './handovers.js';
import { Logins } from './logins.js';

/** How browsers come in: a login at the gateway's own host, a hand-over to each service, a session there. */
export interface BrowserAccess {
  readonly logins: Logins;
  readonly handovers: Handovers;
  readonly browsers: Browsers;
  stop(): void;
}

export interface BrowserAccessParts extends BrowsersParts {
  readonly grants: GrantBook;
  /** How often what is over is thrown away, milliseconds; ten minutes unless told. */
  readonly sweepEvery?: number;
}

const SWEEP_EVERY = 600_000;

/** Puts the parts together, watches over browser sessions and throws away what is over, until `stop`. */
export function openBrowserAccess(parts: BrowserAccessParts): BrowserAccess {
  const browsers = new Browsers(parts);
  const logins = new Logins(parts.pool, parts.clock, (principal) => browsers.loggedOut(principal));
  browsers.start();
  const sweep = () =>
    logins.sweep().catch((thrown) => parts.log.warn({ err: messageOf(thrown) }, 'old logins could not be thrown away'));
  const timer = setInterval(() => void sweep(), parts.sweepEvery ?? SWEEP_EVERY);
  const stop = () => {
    clearInterval(timer);
    browsers.stop();
  };
  return { logins, handovers: new Handovers(parts), browsers, stop };
}
