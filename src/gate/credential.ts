import type { Grant } from '../grant/grant.js';
import { parseHandle, secretMatches } from '../grant/handle.js';

/** A client that shows by something else than the handle itself that a grant is its own. */
export interface Proof {
  readonly grantId: string;
  /** The browser session behind it: its connections may share a session, with nobody else's. Not shared when not given. */
  readonly holder?: string;
  /** Whether the client has proven to hold this very grant. May talk to the client; a rejection is a denial. */
  holds(grant: Grant): boolean | Promise<boolean>;
}

/** What a client presents: a handle as text, a proof instead of one, or nothing. */
export type Credential = string | Proof | null;

/** A credential that names a grant, in one form for the gate. */
export interface Presented {
  readonly id: string;
  /** Tells this credential from another for the same grant; null for one that is never shared. */
  readonly key: string | null;
  /** The browser session it comes from; empty for whoever holds the handle. */
  readonly holder: string;
  holds(grant: Grant): boolean | Promise<boolean>;
}

/** Reads a credential; null when it is not one. */
export function present(credential: Exclude<Credential, null>): Presented | null {
  if (typeof credential !== 'string') {
    const { grantId: id, holder } = credential;
    return { id, key: holder ?? null, holder: holder ?? '', holds: (grant) => credential.holds(grant) };
  }
  const handle = parseHandle(credential);
  if (handle === null) return null;
  return { id: handle.id, key: handle.secret, holder: '', holds: (grant) => secretMatches(grant, handle.secret) };
}

/** The grant a credential names, for the log; undefined when it names none. */
export function grantNamed(credential: Credential): string | undefined {
  return credential === null ? undefined : (present(credential)?.id ?? undefined);
}
