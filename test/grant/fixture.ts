import { generateKeyPairSync } from 'node:crypto';
import type { Test } from 'tap';
import { type Clock, systemClock } from '../../src/clock.js';
import { GrantAuthority } from '../../src/grant/authority.js';
import type { GrantClaims } from '../../src/grant/claims.js';
import { readSigningKey, type SigningKey } from '../../src/grant/keys.js';
import { Ledger } from '../../src/grant/ledger.js';
import type { GrantLimits, IssueRequest } from '../../src/grant/limits.js';
import type { GrantStore } from '../../src/grant/store.js';
import { createLog } from '../../src/log.js';
import { openDatabase } from '../../src/recording/database.js';
import { migrate } from '../../src/recording/migrate.js';
import { ledgerDatabase } from '../support/ledger.js';
import type { Database } from '../support/postgres.js';
import { waitUntil } from '../support/wait.js';

export const silent = createLog('silent');

/** A signing key of this test's own. */
export function signingKey(): SigningKey {
  const { privateKey } = generateKeyPairSync('ed25519');
  return readSigningKey(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
}

/** Claims of a grant that begins at second 1,000 and ends at second 1,600. */
export const CLAIMS: GrantClaims = {
  ...{ iss: 'daypass', aud: 'orders-db', sub: 'alice', jti: 'abcdefghijABCDEFGHIJ12', role: 'reader' },
  ...{
    iat: 1_000,
    nbf: 1_000,
    exp: 1_600,
    spo: 'dana',
    rsn: 'look at order 7',
    lan: 'production',
    own: 'group:leads',
    rnw: 0,
  },
  cnf: { 'dp:s256': 'A'.repeat(43) },
};

export const REQUEST: IssueRequest = {
  ...{ principal: 'alice', service: 'orders-db', durationSeconds: 600, sponsor: 'dana' },
  ...{ reason: 'look at order 7', by: 'root' },
};

export const POLICY: GrantLimits = {
  ...{ name: 'orders-db', lane: 'production', owner: 'group:leads', defaultRole: 'reader' },
  roles: new Set(['reader', 'order-editor']),
  rulesOf: (role) => (role === 'reader' ? ['select on public.orders', 'show'] : ['update on public.orders']),
  grants: { maxDurationSeconds: 3_600, maxRenewals: 1 },
};

/** A clock that a test moves; both faces move together. */
export class HandClock implements Clock {
  now = Date.now();
  wall(): number {
    return this.now;
  }
  monotonic(): number {
    return this.now;
  }
}

/** A migrated database of the test's own with a ledger on it. */
export async function startLedger(t: Test, database?: Database) {
  const own = database ?? (await ledgerDatabase(t));
  const pool = openDatabase(own.url, { max: 6 });
  t.teardown(() => pool.end());
  await migrate(pool);
  return { database: own, pool, ledger: new Ledger(pool) };
}

/** Asks until the store answers again: reconnecting has its own pace. */
export function answers(store: GrantStore): Promise<void> {
  const asked = () =>
    store.ping().then(
      () => true,
      () => false,
    );
  return waitUntil('the store answers', asked, { every: 1 });
}

/** An authority as a gateway has one. */
export async function startAuthority(
  t: Test,
  parts: {
    store: GrantStore;
    ledger: Ledger;
    key?: SigningKey;
    clock?: Clock;
    dataDirectory?: string;
    policy?: GrantLimits;
  },
) {
  const policy = parts.policy ?? POLICY;
  const authority = await GrantAuthority.open({
    store: parts.store,
    ledger: parts.ledger,
    signingKey: parts.key ?? signingKey(),
    policyOf: (service) => (service === policy.name ? policy : undefined),
    dataDirectory: parts.dataDirectory ?? t.testdir(),
    clock: parts.clock ?? systemClock,
    log: silent,
  });
  t.teardown(() => authority.close());
  return authority;
}
