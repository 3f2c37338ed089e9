import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);

/**
 * What a server needs to check a SCRAM-SHA-256 exchange without knowing the password (RFC 5803's verifier), as a signed claim of
 * the grant: a client that refuses to send a password in clear can prove its handle instead.
 */
export interface ScramVerifier {
  readonly salt: Buffer;
  readonly iterations: number;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** RFC 7677 asks for at least this; a handle has 256 bits of chance, so that more would only cost time. */
const ITERATIONS = 4096;
/** The form PostgreSQL stores verifiers in: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, base64. */
const FORM = /^SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/]{22}==)\$([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$/;

/** Makes the verifier of a handle (RFC 5802 section 3). */
export async function makeScramVerifier(handle: string): Promise<string> {
  const salt = randomBytes(16);
  const salted = await derive(handle, salt, ITERATIONS, 32, 'sha256');
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest();
  const text = [salt, storedKey, hmac('Server Key')].map((bytes) => bytes.toString('base64'));
  return `SCRAM-SHA-256$${ITERATIONS}:${text[0]}$${text[1]}:${text[2]}`;
}

/** Reads a verifier; null for anything else. */
export function readScramVerifier(text: string): ScramVerifier | null {
  const [, iterations, salt, storedKey, serverKey] = FORM.exec(text) ?? [];
  if (iterations === undefined || salt === undefined || storedKey === undefined || serverKey === undefined) return null;
  const bytes = (base64: string) => Buffer.from(base64, 'base64');
  return {
    iterations: Number(iterations),
    salt: bytes(salt),
    storedKey: bytes(storedKey),
    serverKey: bytes(serverKey),
  };
}
