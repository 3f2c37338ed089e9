import type { Test } from 'tap';
import { Ledger } from '../../src/grant/ledger.js';
import { MemoryGrantStore } from '../../src/grant/memory.js';
import { Accounts, type Invite } from '../../src/identity/accounts.js';
import { type Actor, operatorNamed } from '../../src/identity/actor.js';
import type { AuditEntry } from '../../src/identity/audited.js';
import { Logins } from '../../src/identity/logins.js';
import { Passkeys } from '../../src/identity/passkeys.js';
import { People } from '../../src/identity/people.js';
import { createLog } from '../../src/log.js';
import { TestClock } from '../gate/fixture.js';
import { startAuthority } from '../grant/fixture.js';
import { freshLedger } from '../recording/fixture.js';
import { TestAuthenticator, type Twist } from './authenticator.js';

export const OPS = operatorNamed('ops');
export const ORIGIN = 'https://gw.test';
const DAY = 86_400_000;

/** Somebody who came over the network, with no duty. */
export function networkActor(
  subject: string,
  duties: Actor['duties'] = new Set(),
  groups: readonly string[] = [],
): Actor {
  return { subject, via: 'browser', groups, duties };
}

/** Accounts over a real ledger, with the employees dana and erik; the lines of the audit log are kept. */
export async function openPeople(t: Test) {
  const { pool, database } = await freshLedger(t);
  const clock = new TestClock();
  const lines: AuditEntry[] = [];
  const audit = async (_client: unknown, entry: AuditEntry) => void lines.push(entry);
  const loggedOut: string[] = [];
  const logged: Record<string, unknown>[] = [];
  const log = createLog('debug', (line) => logged.push(JSON.parse(line)));
  const ended = async (subject: string) => void loggedOut.push(subject);
  const accounts = new Accounts({ pool, clock, audit, loggedOut: ended });
  const logins = new Logins(pool, clock, ended);
  const passkeys = new Passkeys({ pool, clock, log, audit, logins, domain: 'gw.test' });
  for (const subject of ['dana', 'erik']) await accounts.invite(OPS, { subject, name: subject, kind: 'employee' });
  lines.length = 0;
  const carl = (over: Partial<Invite> = {}): Invite => ({
    ...{ subject: 'carl', name: 'Carl', kind: 'contractor', sponsor: 'dana', endsAt: clock.wall() + 30 * DAY },
    ...over,
  });
  /** Makes the first passkey of somebody who was invited, and logs in. */
  const join = async (secret: string, authenticator = new TestAuthenticator(ORIGIN), twist: Twist = {}) => {
    const { options, browser } = await passkeys.beginInvited(secret);
    const answer = authenticator.create(options, twist);
    const given = await passkeys.finishInvited(secret, { browser, answer, origin: ORIGIN, previous: null });
    return { authenticator, given };
  };
  /** Logs in with a passkey. */
  const enter = async (authenticator: TestAuthenticator, twist: Twist = {}) => {
    const { options, browser } = await passkeys.beginLogin();
    const answer = authenticator.get(options, twist);
    return passkeys.finishLogin({ browser, answer, origin: ORIGIN, previous: null });
  };
  return {
    ...{ pool, database, clock, lines, loggedOut, logged, accounts, logins, passkeys, carl, join, enter },
    people: new People(pool),
    grants: await startAuthority(t, { store: new MemoryGrantStore(clock), ledger: new Ledger(pool), clock }),
  };
}
