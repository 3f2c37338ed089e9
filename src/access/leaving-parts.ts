import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import type { Act } from '../grant/record.js';
import type { Revoked } from '../grant/revoker.js';
import type { Actor } from '../identity/actor.js';
import type { Log } from '../log.js';

/** What a grant's act carries; when, its maker says. */
export type Why = Omit<Act, 'at'>;

/** What ends accounts, grants and logins; each may be called again. */
export interface OffboardingParts {
  readonly pool: Pool;
  readonly grants: {
    revoke(id: string, act: Why): Promise<Revoked>;
    suspend(id: string, act: Why): Promise<void>;
    resume(id: string, act: Why): Promise<void>;
  };
  /** The grants of somebody's live sessions here: all that is known of them while the ledger is silent. */
  readonly liveHere: (subject: string) => readonly string[];
  /** Closes an account and ends its invitations, passkeys and tokens; says how many. Called for people with an account alone. */
  readonly closeAccount: (actor: Actor, subject: string, reason: string) => Promise<Readonly<Record<string, number>>>;
  /** Ends all logins, those of people without an account too. @returns how many */
  readonly logOut: (subject: string, act: Why) => Promise<number>;
  /** The services in force and the group that owns each, `group:<name>`. */
  readonly services: () => Iterable<ServiceOwner>;
  readonly clock: Clock;
  readonly log: Log;
  /** How long the ends of live sessions are waited for, milliseconds; 6 s unless told. */
  readonly confirmWithin?: number;
}

/** A service and the group that owns it, `group:<name>`. */
export interface ServiceOwner {
  readonly name: string;
  readonly owner: string;
}
