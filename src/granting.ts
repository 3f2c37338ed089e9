import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pool } from 'pg';
import type { Clock } from './clock.js';
import type { GatewayConfig, SigningKeySource } from './config/gateway.js';
import type { Policies } from './gate/policies.js';
import { GrantAuthority } from './grant/authority.js';
import { examineClock, examineKey } from './grant/examine.js';
import { generateSigningKey, keyRing, readSigningKey, readVerificationKey, type SigningKey } from './grant/keys.js';
import { Ledger } from './grant/ledger.js';
import { MemoryGrantStore } from './grant/memory.js';
import type { GrantStore } from './grant/store.js';
import type { Lifecycle } from './lifecycle.js';
import type { Log } from './log.js';

export interface GrantingParts {
  readonly dataDirectory: string;
  readonly config: Pick<GatewayConfig, 'redis' | 'signingKey' | 'verificationKeys'>;
  readonly pool: Pool;
  readonly policies: Policies;
  readonly clock: Clock;
  readonly log: Log;
  readonly lifecycle: Lifecycle;
}

/**
 * The grants: their store, their ledger, the key that signs them.
 * @param worker - which of a gateway's workers this is; 0 where there is one process
 */
export async function openGrants(base: GrantingParts, worker: number) {
  const { config, clock, pool, policies, log, lifecycle } = base;
  // The first worker's is the gateway's: revocations are made there, and one that waits is found with fewer workers too.
  const dataDirectory = worker > 0 ? join(base.dataDirectory, `w${worker}`) : base.dataDirectory;
  const store = await openStore(config, clock, log);
  lifecycle.onStop('grant store', () => store.close());
  await examineClock(store, clock);
  const ledger = new Ledger(pool);
  const key = await signingKey(config.signingKey, base.dataDirectory);
  const keys = keyRing(key, ...config.verificationKeys.map(readVerificationKey));
  await examineKey(ledger, key, keys, clock.wall());
  const policyOf = (service: string) => policies.get(service);
  const parts = { store, ledger, signingKey: key, keys, policyOf, dataDirectory, clock, log };
  const grants = await GrantAuthority.open(parts);
  lifecycle.onStop('grants', () => grants.close());
  if (config.redis === undefined)
    log.info({ grants: await grants.refill() }, 'grants are kept in this process (no Redis is configured)');
  return { store, ledger, key, keys, grants };
}

async function openStore(config: GrantingParts['config'], clock: Clock, log: Log): Promise<GrantStore> {
  if (config.redis === undefined) return new MemoryGrantStore(clock);
  const { RedisGrantStore } = await import('./grant/redis.js');
  return await RedisGrantStore.open(config.redis, log);
}

async function signingKey(source: SigningKeySource | undefined, dataDirectory: string): Promise<SigningKey> {
  if (source !== undefined && 'pem' in source) return readSigningKey(source.pem);
  const path = source?.create ?? join(dataDirectory, 'grant.pem');
  return readSigningKey(await keptKey(path));
}

async function keptKey(path: string): Promise<string> {
  try {
    return await generateSigningKey(path);
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown;
    return readFile(path, 'utf8');
  }
}
