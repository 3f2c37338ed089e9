import { type GrantClaims, ISSUER } from './claims.js';
import type { Grant } from './grant.js';
import { confirmationOf } from './handle.js';
import type { GrantLimits, IssueRequest } from './limits.js';

/**
 * The claims of a new grant; it begins with the second of `now`.
 * @param now - milliseconds since the epoch
 */
export function newClaims(
  request: IssueRequest,
  allowed: { readonly policy: GrantLimits; readonly role: string },
  handle: { readonly id: string; readonly secret: string; readonly scram: string },
  now: number,
): GrantClaims {
  const iat = Math.floor(now / 1000);
  const { policy, role } = allowed;
  return {
    ...{ iss: ISSUER, aud: policy.name, sub: request.principal, jti: handle.id },
    ...{ iat, nbf: iat, exp: iat + request.durationSeconds, role },
    ...{ spo: request.sponsor, rsn: request.reason, lan: policy.lane, own: policy.owner, rnw: 0 },
    cnf: { 'dp:s256': base64url(confirmationOf(handle.secret)), 'dp:scram': handle.scram },
  };
}

/** The same grant with a later end: everything else is what was signed before. */
export function renewedClaims(old: Grant, durationSeconds: number): GrantClaims {
  return {
    ...{ iss: ISSUER, aud: old.service, sub: old.principal, jti: old.id },
    ...{ iat: old.issuedAt / 1000, nbf: old.notBefore / 1000, exp: old.expiresAt / 1000 + durationSeconds },
    ...{ role: old.role, spo: old.sponsor, rsn: old.reason, lan: old.lane, own: old.owner, rnw: old.renewals + 1 },
    cnf: { 'dp:s256': base64url(old.confirmation), ...(old.scram === null ? {} : { 'dp:scram': old.scram }) },
  };
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
