import { CompactSign } from 'jose';
import { ALGORITHM, type GrantClaims, TOKEN_TYPE } from './claims.js';
import type { SigningKey } from './keys.js';

/** Signs a grant's claims: a compact JWS (RFC 7515, RFC 8037). */
export async function mintToken(claims: GrantClaims, key: SigningKey): Promise<string> {
  return new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: ALGORITHM, typ: TOKEN_TYPE, kid: key.kid })
    .sign(key.privateKey);
}
