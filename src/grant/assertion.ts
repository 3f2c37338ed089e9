import { CompactSign, exportJWK } from 'jose';
import { ALGORITHM } from './claims.js';
import type { Grant } from './grant.js';
import type { KeyRing, SigningKey } from './keys.js';
import { leaseOf } from './lease.js';

/** Not a grant's type: neither can be taken for the other, though one key signs both. */
const ASSERTION_TYPE = 'daypass-assertion+jwt';

/** Who stands behind a request, as its service is told. */
export interface Assertion {
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** How long an assertion is good for, seconds: one that leaks is of little use. */
export const LIFETIME = 60;

/**
 * Signs the identity assertion of a session (RFC 7519): `iss` daypass, `aud` the service, `sub` the principal, `role`,
 * `groups`, `grant` and `session`, for a minute and never beyond the grant's end or that of its hours. The service verifies it with
 * the gateway's `/.well-known/jwks.json`; it must hold `typ`, `iss` and `aud` to what it expects (THREATS.md A4).
 * @param now - milliseconds since the epoch
 */
export async function signAssertion(key: SigningKey, grant: Grant, session: string, now: number): Promise<Assertion> {
  const iat = Math.floor(now / 1000);
  const exp = Math.min(iat + LIFETIME, Math.floor(leaseOf(grant, now).until / 1000));
  const { service: aud, principal: sub, role, groups } = grant;
  const claims = { iss: 'daypass', aud, sub, role, groups, grant: grant.id, session, iat, exp };
  const token = await new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: ALGORITHM, typ: ASSERTION_TYPE, kid: key.kid })
    .sign(key.privateKey);
  return { token, expiresAt: exp * 1000 };
}

/** The public keys by which services verify assertions: a JWK Set (RFC 7517) as JSON text. */
export async function publicKeySet(keys: KeyRing): Promise<string> {
  const published = [...keys].map(async ([kid, key]) => ({
    ...(await exportJWK(key)),
    kid,
    alg: ALGORITHM,
    use: 'sig',
  }));
  return `${JSON.stringify({ keys: await Promise.all(published) })}\n`;
}
