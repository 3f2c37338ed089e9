import type { DenialReason } from '../policy/reason.js';
import { claimsSchema, type GrantClaims, headerSchema } from './claims.js';
import type { Grant, GrantCheck } from './grant.js';
import { openSigned, readPart } from './jws.js';
import type { KeyRing } from './keys.js';
import { outsideHours } from './lease.js';

/** Far above the longest token this code can mint; more is refused before it is read. */
export const MAX_TOKEN_LENGTH = 16_384;

/** What the token must be about. */
export interface Expected {
  /** The id the token was looked up by. */
  readonly id: string;
  /** The service it is presented to, when that is known already. */
  readonly service?: string;
}

/**
 * The half of a verification that does not depend on the time or the question: signature and form.
 * @returns null for anything that is not a grant signed by a key of the ring
 */
export async function openToken(token: string, keys: KeyRing): Promise<Grant | null> {
  const claims = token.length <= MAX_TOKEN_LENGTH ? await openSigned(token, keys, headerSchema, claimsSchema) : null;
  return claims && claims.nbf < claims.exp ? grantOf(claims, token) : null;
}

/** The key a token says it was signed with; null for what has no header of a grant. Proves nothing. */
export function keyIdOf(token: string): string | null {
  if (token.length > MAX_TOKEN_LENGTH) return null;
  return readPart(headerSchema, token.split('.')[0])?.kid ?? null;
}

/** What a token narrows its role by; null where it does not. Proves nothing: for showing to whoever may see the grant. */
export function narrowingIn(token: string): Pick<Grant, 'window' | 'only'> {
  const claims = token.length > MAX_TOKEN_LENGTH ? null : readPart(narrowingSchema, token.split('.')[1]);
  return { window: claims?.win ?? null, only: claims?.only ?? null };
}

const narrowingSchema = claimsSchema.pick({ win: true, only: true }).loose();

/** The half that is asked anew each time: is this the grant that was asked for, and is it in force now? */
export function judgeGrant(grant: Grant, expected: Expected, now: number): GrantCheck {
  if (grant.id !== expected.id) return denied('malformed', 'The stored token belongs to another grant.');
  if (expected.service !== undefined && grant.service !== expected.service) {
    return denied('wrong_service', `This grant is for ${grant.service}.`);
  }
  if (now < grant.notBefore) return { ...denied('not_yet', 'The grant is not in force yet.'), grant };
  // Written so that a time that is not a number is a denial.
  if (!(now < grant.expiresAt)) return { ...denied('expired', 'The grant has expired.'), grant };
  const closed = outsideHours(grant, now);
  return closed === null ? { ok: true, grant } : { ...denied('outside_hours', closed), grant };
}

function denied(reason: DenialReason, message: string): Extract<GrantCheck, { ok: false }> {
  return { ok: false, reason, message };
}

function grantOf(claims: GrantClaims, token: string): Grant {
  return Object.freeze({
    id: claims.jti,
    service: claims.aud,
    principal: claims.sub,
    role: claims.role,
    sponsor: claims.spo,
    reason: claims.rsn,
    lane: claims.lan,
    owner: claims.own,
    issuedAt: claims.iat * 1000,
    notBefore: claims.nbf * 1000,
    expiresAt: claims.exp * 1000,
    renewals: claims.rnw,
    groups: Object.freeze(claims.grp ?? []),
    request: claims.req ?? null,
    nda: claims.nda ?? null,
    window: claims.win ?? null,
    only: claims.only === undefined ? null : Object.freeze(claims.only),
    // In memory of its own: a short Buffer is a part of one of 8 KiB, which a grant that is remembered would keep as a whole.
    confirmation: Uint8Array.from(Buffer.from(claims.cnf['dp:s256'], 'base64url')),
    scram: claims.cnf['dp:scram'] ?? null,
    token,
  });
}
