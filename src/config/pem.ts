import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

/** A certificate and its key, as PEM. */
interface Pair {
  readonly cert: string;
  readonly key: string;
}

const NOT_ITS_KEY = 'the key does not belong to the certificate';
const TOO_WEAK = 'TLS does not take this certificate: its key is too short, or its signature too weak';

const NO_HANDSHAKE =
  'with this key no TLS handshake works: take RSA, or a curve that clients offer (P-256, P-384, P-521)';

/** What TLS signs with, and the curves that its clients offer for it; with any other the key is loaded, and then nobody can connect. */
const SIGNS = /^(?:rsa|rsa-pss|ed25519|ed448|ec)$/;
const CURVES = /^(?:prime256v1|secp384r1|secp521r1)$/;

const BLOCK = /-----BEGIN ([^-]+)-----[\s\S]*?-----END \1-----/g;

/** Whether a text is a PEM certificate (or a chain, whose first is the server's), written to its end. */
export function isCertificate(text: string): boolean {
  const blocks = text.match(BLOCK) ?? [];
  // What is half-written begins more than it ends; a chain without its rest would be shown, and nobody would believe it.
  const isWhole = blocks.length === text.split('-----BEGIN').length - 1;
  const certificates = blocks.filter((block) => /^-----BEGIN [^-]*CERTIFICATE-----/.test(block));
  return isWhole && [text, ...certificates].every((block) => readCertificate(block) !== undefined);
}

/** Whether a text is an unencrypted PEM private key. */
export function isPrivateKey(text: string): boolean {
  return readKey(text) !== undefined;
}

/** Whether a text is an Ed25519 private key in PEM: what signs grants. */
export function isSigningKey(text: string): boolean {
  return readKey(text)?.asymmetricKeyType === 'ed25519';
}

/** Whether a text is an Ed25519 key in PEM, public or private: what verifies grants. */
export function isVerificationKey(text: string): boolean {
  try {
    return createPublicKey(text).asymmetricKeyType === 'ed25519' && readCertificate(text) === undefined;
  } catch {
    return false;
  }
}

/** Why TLS connections cannot be made with a certificate and its key; null for a pair with which they can. */
export function faultOfPair(pair: Pair): string | null {
  if (!keyMatches(pair)) return NOT_ITS_KEY;
  if (!isStrongEnough(pair)) return TOO_WEAK;
  return makesHandshakes(pair) ? null : NO_HANDSHAKE;
}

/** Whether a private key belongs to a certificate. */
function keyMatches(pair: Pair): boolean {
  const key = readKey(pair.key);
  return key !== undefined && readCertificate(pair.cert)?.checkPrivateKey(key) === true;
}

/** Whether TLS takes a certificate and its key: OpenSSL has its own idea of what is too weak (SSL_CTX_set_security_level(3)). */
function isStrongEnough(pair: Pair): boolean {
  try {
    createSecureContext(pair);
    return true;
  } catch {
    return false;
  }
}

/** Whether TLS handshakes are made with a key of this kind. */
function makesHandshakes({ key }: Pair): boolean {
  const { asymmetricKeyType: type = '', asymmetricKeyDetails: details } = readKey(key) ?? {};
  return SIGNS.test(type) && (type !== 'ec' || CURVES.test(details?.namedCurve ?? ''));
}

/** Why nobody believes a certificate at this time; null when its dates are in order. @param now - milliseconds since the epoch */
export function outOfDate(cert: string, now: number): string | null {
  const { validFrom = '', validTo = '' } = readCertificate(cert) ?? {};
  if (Date.parse(validTo) <= now) return `has expired: ${validTo}`;
  return Date.parse(validFrom) > now ? `is not valid yet: ${validFrom}` : null;
}

function readCertificate(text: string): X509Certificate | undefined {
  try {
    return new X509Certificate(text);
  } catch {
    return undefined;
  }
}

function readKey(text: string): KeyObject | undefined {
  try {
    return createPrivateKey(text);
  } catch {
    return undefined;
  }
}
