import { isDeepStrictEqual } from 'node:util';
import type { ServicePolicy } from './protocol.js';

/** Whether two policies of a service, or two of their roles, lead to the same place with the same secrets. */
export function sameUpstream(before: unknown, after: unknown): boolean {
  return isDeepStrictEqual(upstreamIn(before), upstreamIn(after));
}

/** The same but for the secrets: to the same address as the same account, verified by the same authority. */
export function samePlace(before: unknown, after: unknown): boolean {
  return isDeepStrictEqual(withoutSecrets(upstreamIn(before)), withoutSecrets(upstreamIn(after)));
}

function upstreamIn(of: unknown): unknown {
  return typeof of === 'object' && of !== null && 'upstream' in of ? of.upstream : undefined;
}

/** Where upstreams have what they show of us. */
const SECRETS = new Set(['headers', 'password', 'cert', 'key']);

function withoutSecrets(of: unknown): unknown {
  if (typeof of !== 'object' || of === null || Array.isArray(of)) return of;
  const rest = Object.entries(of).filter(([name]) => !SECRETS.has(name));
  return Object.fromEntries(rest.map(([name, part]) => [name, withoutSecrets(part)]));
}

/** Whether a policy that was read again says the same, and what it names in files and the environment does, too. */
export function isSamePolicy(before: ServicePolicy, after: ServicePolicy): boolean {
  if (before.version !== after.version || !sameUpstream(before, after)) return false;
  return [...after.roles].every(([name, role]) => sameUpstream(before.roles.get(name), role));
}
