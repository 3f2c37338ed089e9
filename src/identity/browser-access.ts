import type { OidcSettings } from '../config/people.js';
import { messageOf } from '../errors.js';
import { Accounts } from './accounts.js';
import type { Duties } from './actor.js';
import type { Audit } from './audited.js';
import { Bearers } from './bearers.js';
import { Browsers, type BrowsersParts } from './browsers.js';
import { Directory } from './directory.js';
import { type GrantBook, Handovers } from './handovers.js';
import { Logins } from './logins.js';
import { Passkeys } from './passkeys.js';
import { People } from './people.js';
import { Tokens } from './tokens.js';
import { ToolCodes } from './tool-codes.js';

/** How browsers come in: a login at the gateway's own host, a hand-over to each service, a session there. */
export interface BrowserAccess {
  readonly logins: Logins;
  readonly handovers: Handovers;
  readonly browsers: Browsers;
  readonly people: People;
  /** The groups whose members have each duty. */
  readonly duties: Duties;
  readonly tokens: Tokens;
  readonly toolCodes: ToolCodes;
  /** Tokens in place of handles. */
  readonly bearers: Bearers;
  /** The company's directory; null without one. */
  readonly directory: Directory | null;
  readonly accounts: Accounts;
  readonly passkeys: Passkeys;
  stop(): void;
}

export interface BrowserAccessParts extends BrowsersParts {
  readonly grants: GrantBook;
  readonly oidc?: OidcSettings | undefined;
  /** Nobody's unless told. */
  readonly duties?: Duties;
  readonly audit: Audit;
  /** The gateway's own host: passkeys are valid there. */
  readonly domain: string;
  /** Whether the clock is that of the other gateways; always unless told. */
  readonly clockAgrees?: () => boolean;
  /** How often what is over is thrown away, milliseconds; ten minutes unless told. */
  readonly sweepEvery?: number;
}

const NOBODYS: Duties = { operator: [], reviewer: [] };
const SWEEP_EVERY = 600_000;

/** Puts the parts together, watches over browser sessions and throws away what is over, until `stop`. */
export function openBrowserAccess(parts: BrowserAccessParts): BrowserAccess {
  const tokens = new Tokens(parts.pool, parts.clock);
  const bearers = new Bearers(parts.pool, tokens, parts.clock);
  const browsers = new Browsers({ ...parts, tools: bearers });
  const loggedOut = (principal: string) => browsers.loggedOut(principal);
  const logins = new Logins(parts.pool, parts.clock, loggedOut);
  const passkeys = new Passkeys({ ...parts, logins });
  browsers.start();
  const sweep = async () => {
    if (parts.clockAgrees?.() === false) return;
    await Promise.all([logins.sweep(), passkeys.sweep()]).catch((thrown) =>
      parts.log.warn({ err: messageOf(thrown) }, 'old logins could not be thrown away'),
    );
  };
  const timer = setInterval(() => void sweep(), parts.sweepEvery ?? SWEEP_EVERY);
  const stop = () => {
    clearInterval(timer);
    browsers.stop();
  };
  const { pool, audit, clock, log, oidc } = parts;
  return {
    ...{ logins, handovers: new Handovers(parts), browsers, bearers, stop },
    ...{
      people: new People(pool),
      duties: parts.duties ?? NOBODYS,
      tokens,
      toolCodes: new ToolCodes(pool, clock, tokens),
      accounts: new Accounts({ ...parts, loggedOut }),
      passkeys,
    },
    directory: oidc === undefined ? null : new Directory({ pool, audit, logins, settings: oidc, clock, log }),
  };
}
