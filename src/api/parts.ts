import type { PublicSettings } from '../config/public.js';
import type { Accounts } from '../identity/accounts.js';
import type { Logins } from '../identity/logins.js';
import type { Passkeys } from '../identity/passkeys.js';
import type { People } from '../identity/people.js';
import type { MetricJson } from '../metrics.js';
import type { LeavingApi } from './leaving.js';
import type { RouteParts } from './routes.js';

/** What `daypass status` tells; the composition root knows it. */
export interface GatewayStatus {
  readonly version: string;
  readonly gatewayId: string;
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** The host under which services are reached: `<service>.<domain>`. */
  readonly domain: string;
  /** Where the listeners are bound, `host:port`; null when one is not open. */
  readonly listen: { readonly http: string | null; readonly postgres: string | null; readonly health: string | null };
  /** Whether HTTP clients must use TLS; false when not given. */
  readonly httpsOnly?: boolean;
  /** How many worker processes it has; not given when it is one process. */
  readonly workers?: number;
  /** Where others reach it, as far as the configuration says so. */
  readonly public?: PublicSettings;
  /** How browsers reach the gateway: `https` also where a proxy on this machine speaks TLS. */
  readonly scheme: 'http' | 'https';
  /** How many sessions are live on this gateway. */
  readonly liveSessions: number;
  /** What is missing for work, by name; empty when ready. */
  readonly notReady: readonly string[];
  /** What was wrong with the files when they were read last: the policies of before are in force then. */
  readonly problems: readonly string[];
  readonly services: readonly { readonly name: string; readonly protocol: string; readonly roles: readonly string[] }[];
}

/** What a reload did. */
export interface Reloaded {
  readonly ok: boolean;
  readonly services: readonly string[];
  /** Every problem, one sentence each with its place; nothing was changed when there is one. */
  readonly problems: readonly string[];
}

/** What a primary asks its workers. */
export interface WorkerAnswers {
  /** What is missing for work, by name. */
  readonly missing: () => Readonly<Record<string, string>>;
  readonly metrics: () => Promise<readonly MetricJson[]>;
}

/** What the administration API is made of. Every part is passed in by the composition root. */
export interface ApiParts extends RouteParts {
  /** `<data>/daypass.sock`. */
  readonly socketPath: string;
  readonly logins: Pick<Logins, 'link' | 'logOut'>;
  readonly people: People;
  readonly accounts: Accounts;
  readonly passkeys: Pick<Passkeys, 'list'>;
  /** How engagements end. */
  readonly leaving?: LeavingApi | undefined;
  readonly reload: () => Promise<Reloaded>;
  /** Given in a worker alone. */
  readonly worker?: WorkerAnswers | undefined;
}
