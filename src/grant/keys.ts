import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { open } from 'node:fs/promises';
import { DaypassError } from '../errors.js';

/** The key that signs grants. */
export interface SigningKey {
  /** RFC 7638 thumbprint of the public key. */
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** The public keys this gateway trusts, by `kid`. A token names one of them; nothing is ever fetched or read for it. */
export type KeyRing = ReadonlyMap<string, KeyObject>;

/**
 * Reads an Ed25519 private key.
 * @param pem - PKCS#8 PEM text
 * @throws DaypassError `signing_key_invalid`
 */
export function readSigningKey(pem: string): SigningKey {
  const privateKey = parsePrivateKey(pem);
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new DaypassError('signing_key_invalid', `The signing key is ${privateKey.asymmetricKeyType}, not Ed25519.`, {
      hint: 'Make one with: openssl genpkey -algorithm ed25519 -out grant.pem',
    });
  }
  const publicKey = createPublicKey(privateKey);
  return { kid: thumbprint(publicKey), privateKey, publicKey };
}

/**
 * Reads an Ed25519 key of before, public or private: only its public half is kept.
 * @param pem - SPKI or PKCS#8 PEM text
 * @throws DaypassError `verification_key_invalid`
 */
export function readVerificationKey(pem: string): KeyObject {
  const key = parsePublicKey(pem);
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new DaypassError('verification_key_invalid', `A verification key is ${key.asymmetricKeyType}, not Ed25519.`);
}

/** The keys a gateway trusts: its own, and older public ones while their grants last. */
export function keyRing(signing: SigningKey, ...older: readonly KeyObject[]): KeyRing {
  return keyRingOf([...older, signing.publicKey]);
}

/** Public keys by their thumbprints: what verifies without signing. */
export function keyRingOf(keys: readonly KeyObject[]): KeyRing {
  return new Map(keys.map((key) => [thumbprint(key), key]));
}

/**
 * Makes a signing key and keeps it durably, readable by its owner alone. Only for the embedded database: a shared
 * ledger needs a key that every gateway was given.
 * @returns the PEM text
 * @throws the file system's error, `EEXIST` when a key is there already
 */
export async function generateSigningKey(path: string): Promise<string> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(pem);
    await file.sync();
  } finally {
    await file.close();
  }
  return pem;
}

/** RFC 7638, section 3, with the members RFC 8037 (appendix A.3) names for an OKP key. */
function thumbprint(key: KeyObject): string {
  const { crv, kty, x } = key.export({ format: 'jwk' });
  return createHash('sha256').update(JSON.stringify({ crv, kty, x })).digest('base64url');
}

function parsePrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, format: 'pem' });
  } catch (cause) {
    throw new DaypassError('signing_key_invalid', 'The signing key is not a private key in PEM form.', { cause });
  }
}

function parsePublicKey(pem: string): KeyObject {
  try {
    return createPublicKey({ key: pem, format: 'pem' });
  } catch (cause) {
    throw new DaypassError('verification_key_invalid', 'A verification key is no key in PEM form.', { cause });
  }
}
