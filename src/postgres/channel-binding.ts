import { createHash } from 'node:crypto';

/** Signature algorithms by their DER object identifiers, with the hash that `tls-server-end-point` then uses. */
const HASHES: Readonly<Record<string, string>> = {
  '2a864886f70d010104': 'sha256', // MD5 with RSA: RFC 5929 replaces MD5 and SHA-1 by SHA-256
  '2a864886f70d010105': 'sha256',
  '2a8648ce3d0401': 'sha256',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
};

/**
 * The `tls-server-end-point` channel binding of a certificate (RFC 5929 section 4.1): its hash, by the hash function of its
 * own signature.
 * @param certificate - DER
 * @returns null when the signature algorithm names no hash (RSA-PSS, Ed25519): then there is nothing to bind with
 */
export function tlsServerEndPoint(certificate: Buffer): Buffer | null {
  const oid = signatureAlgorithm(certificate);
  const hash = oid === null ? undefined : HASHES[oid];
  return hash === undefined ? null : createHash(hash).update(certificate).digest();
}

/** Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm OID … }, … } (RFC 5280 section 4.1). */
function signatureAlgorithm(der: Buffer): string | null {
  const outer = element(der, 0);
  const body = outer && element(der, outer.from);
  const algorithm = body && element(der, body.to);
  const oid = algorithm && element(der, algorithm.from);
  return oid && der[oid.at] === 0x06 ? der.toString('hex', oid.from, oid.to) : null;
}

interface Element {
  readonly at: number;
  readonly from: number;
  readonly to: number;
}

/** A DER element's place; null when it does not fit. */
function element(der: Buffer, at: number): Element | null {
  const first = der[at + 1];
  if (first === undefined) return null;
  if (first < 0x80) return within(der, { at, from: at + 2, to: at + 2 + first });
  const size = first & 0x7f;
  if (size === 0 || size > 4 || at + 2 + size > der.length) return null;
  const length = der.readUIntBE(at + 2, size);
  return within(der, { at, from: at + 2 + size, to: at + 2 + size + length });
}

function within(der: Buffer, found: Element): Element | null {
  return found.to <= der.length ? found : null;
}
