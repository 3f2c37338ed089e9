import { type GrantClaims, ISSUER } from './claims.js';
import type { Grant } from './grant.js';
import { confirmationOf } from './handle.js';
import type { Allowed, IssueRequest } from './limits.js';

/**
 * The claims of a new grant; it begins with the second of `now`, or never before the time that was asked for.
 * @param now - milliseconds since the epoch
 */
export function newClaims(
  request: IssueRequest,
  allowed: Allowed,
  handle: { readonly id: string; readonly secret: string; readonly scram: string },
  now: number,
): GrantClaims {
  const iat = Math.floor(now / 1000);
  const { policy, role, scope } = allowed;
  const { notBefore, durationSeconds } = request;
  const nbf = notBefore === undefined ? iat : Math.ceil(notBefore / 1000);
  const exp = (notBefore === undefined ? iat : Math.floor(notBefore / 1000)) + durationSeconds;
  return {
    ...{ iss: ISSUER, aud: policy.name, sub: request.principal, jti: handle.id },
    ...{ iat, nbf, exp, role },
    ...{ spo: request.sponsor, rsn: request.reason, lan: policy.lane, own: policy.owner, rnw: 0 },
    ...narrowing(scope),
    cnf: { 'dp:s256': base64url(confirmationOf(handle.secret)), 'dp:scram': handle.scram },
  };
}

/** The same grant with a later end: everything else is what was signed before. */
export function renewedClaims(old: Grant, durationSeconds: number): GrantClaims {
  const same = claimsOf(old);
  return { ...same, exp: same.exp + durationSeconds, rnw: same.rnw + 1 };
}

/** The same grant under a new id and a new secret: its beginning, its end and its renewals are what they were. */
export function replacedClaims(
  old: Grant,
  handle: { readonly id: string; readonly secret: string; readonly scram: string },
  now: number,
): GrantClaims {
  const cnf = { 'dp:s256': base64url(confirmationOf(handle.secret)), 'dp:scram': handle.scram };
  return { ...claimsOf(old), jti: handle.id, iat: Math.floor(now / 1000), cnf };
}

/** What a grant's token says. */
function claimsOf(old: Grant): GrantClaims {
  return {
    ...{ iss: ISSUER, aud: old.service, sub: old.principal, jti: old.id },
    ...{ iat: old.issuedAt / 1000, nbf: old.notBefore / 1000, exp: old.expiresAt / 1000 },
    ...{ role: old.role, spo: old.sponsor, rsn: old.reason, lan: old.lane, own: old.owner, rnw: old.renewals },
    ...narrowing(old),
    cnf: { 'dp:s256': base64url(old.confirmation), ...(old.scram === null ? {} : { 'dp:scram': old.scram }) },
  };
}

type Narrowing = Pick<Grant, 'groups' | 'request' | 'nda' | 'window' | 'only'>;

/** The claims that a grant may do without. */
function narrowing({ groups, request, nda, window, only }: Narrowing): Partial<GrantClaims> {
  return {
    ...(groups.length === 0 ? {} : { grp: [...groups] }),
    ...(request === null ? {} : { req: request }),
    ...(nda === null ? {} : { nda }),
    ...(window === null ? {} : { win: window }),
    ...(only === null ? {} : { only: [...only] }),
  };
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
