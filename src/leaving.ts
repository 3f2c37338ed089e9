import { CloseOuts } from './access/closeout.js';
import type { OffboardingParts } from './access/leaving-parts.js';
import { Offboarding } from './access/offboard.js';
import type { Clock } from './clock.js';
import { connectionsFor, type LedgerAccess } from './connections.js';
import type { Gate } from './gate/gate.js';
import type { Policies } from './gate/policies.js';
import type { SigningKey } from './grant/keys.js';
import type { Logins } from './identity/logins.js';

export interface LeavingParts extends LedgerAccess, Pick<OffboardingParts, 'grants' | 'closeAccount'> {
  readonly signingKey: SigningKey;
  readonly gate: Pick<Gate, 'live'>;
  readonly logins: Pick<Logins, 'logOut'>;
  readonly policies: Pick<Policies, 'get' | 'all'>;
  readonly clock: Clock;
}

/**
 * How engagements end: offboarding, close-outs, reports. They have connections of their own: a large record does not keep
 * others waiting, and an offboarding does not wait long for a ledger that is silent.
 */
export function openLeaving(parts: LeavingParts) {
  const { signingKey, gate, logins, policies, clock, log, grants, closeAccount } = parts;
  const pool = connectionsFor('closeouts', parts, { max: 3, answerWithin: 60_000 });
  const ownerOf = (service: string) => policies.get(service)?.owner;
  const closeOuts = new CloseOuts({ pool, signingKey, ownerOf, clock });
  const liveHere = (subject: string) => {
    const theirs = gate.live.registry.all().filter(({ grant }) => grant.principal === subject);
    return [...new Set(theirs.map(({ grant }) => grant.id))];
  };
  const offboarding = new Offboarding({
    ...{
      pool: connectionsFor('leaving', parts, { max: 3, answerWithin: 5_000 }),
      grants,
      liveHere,
      closeAccount,
      clock,
      log,
    },
    logOut: (subject, act) => logins.logOut(subject, act),
    services: () => policies.all(),
  });
  return { offboarding, closeOuts, pool, clock };
}
