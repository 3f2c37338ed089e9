import { isDeepStrictEqual } from 'node:util';
import type { ServicePolicy } from './protocol.js';

/** Whether two policies of a service, or two of their roles, lead to the same place with the same secrets. */
export function sameUpstream(before: unknown, after: unknown): boolean {
  return isDeepStrictEqual(upstreamIn(before), upstreamIn(after));
}

function upstreamIn(of: unknown): unknown {
  return typeof of === 'object' && of !== null && 'upstream' in of ? of.upstream : undefined;
}

/** Whether a policy that was read again says the same, and the files with its secrets do, too. */
export function isSamePolicy(before: ServicePolicy, after: ServicePolicy): boolean {
  if (before.version !== after.version || !sameUpstream(before, after)) return false;
  return [...after.roles].every(([name, role]) => sameUpstream(before.roles.get(name), role));
}
