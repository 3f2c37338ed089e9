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
}

/** Puts the parts together, and watches over browser sessions until `stop`. */
export function openBrowserAccess(parts: BrowserAccessParts): BrowserAccess {
  const browsers = new Browsers(parts);
  const logins = new Logins(parts.pool, parts.clock, (principal) => browsers.loggedOut(principal));
  browsers.start();
  return { logins, handovers: new Handovers(parts), browsers, stop: () => browsers.stop() };
}
