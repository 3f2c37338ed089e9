import { createPublicKey } from 'node:crypto';
import { CompactSign } from 'jose';
import { z } from 'zod';
import { DaypassError } from '../errors.js';
import { ALGORITHM, ISSUER } from '../grant/claims.js';
import { openSigned } from '../grant/jws.js';
import { type KeyRing, keyRingOf, type SigningKey } from '../grant/keys.js';
import { GENESIS } from './chain.js';

/** Neither a grant's type nor an assertion's: none can be taken for another, though one key signs them all. */
const HEAD_TYPE = 'daypass-audit-head+jwt';

/** Where the log ended at a moment. */
export interface Head {
  /** The last line's number; 0 when there was none. */
  readonly seq: number;
  /** The chain's value after it. */
  readonly hash: Buffer;
}

/** An empty log. */
export const START: Head = { seq: 0, hash: GENESIS };

const LONGEST = 2_048;
const headerSchema = z.strictObject({ alg: z.literal(ALGORITHM), typ: z.literal(HEAD_TYPE), kid: z.string() });
const claimsSchema = z.strictObject({
  iss: z.literal(ISSUER),
  iat: z.int().min(0),
  seq: z.int().min(0),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
});

/**
 * Signs a head: a compact JWS (RFC 7515) that anybody can verify with `/.well-known/jwks.json`. Noted where the ledger's owner
 * cannot reach it, it shows later that nothing before it was cut off or written anew.
 * @param now - milliseconds since the epoch
 */
export function signHead(key: SigningKey, { seq, hash }: Head, now: number): Promise<string> {
  const claims = { iss: ISSUER, iat: Math.floor(now / 1_000), seq, hash: hash.toString('hex') };
  return new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: ALGORITHM, typ: HEAD_TYPE, kid: key.kid })
    .sign(key.privateKey);
}

/** @returns null for anything that is not a head signed by a key of the ring */
export async function openHead(token: string, keys: KeyRing): Promise<Head | null> {
  const claims = token.length <= LONGEST ? await openSigned(token, keys, headerSchema, claimsSchema) : null;
  return claims === null ? null : { seq: claims.seq, hash: Buffer.from(claims.hash, 'hex') };
}

const keySetSchema = z.object({
  keys: z.array(z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string() })).min(1),
});

/**
 * Reads a JWK Set (RFC 7517) as `/.well-known/jwks.json` serves it.
 * @throws DaypassError `key_set_invalid`
 */
export function readKeySet(text: string): KeyRing {
  try {
    const { keys } = keySetSchema.parse(JSON.parse(text));
    return keyRingOf(keys.map((jwk) => createPublicKey({ key: jwk, format: 'jwk' })));
  } catch (cause) {
    throw new DaypassError('key_set_invalid', 'This is no set of Ed25519 keys.', {
      cause,
      hint: "Take the gateway's own: https://<domain>/.well-known/jwks.json",
    });
  }
}
