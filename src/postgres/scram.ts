import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { DaypassError } from '../errors.js';

const derive = promisify(pbkdf2);

/** A hostile server could ask for work without end (THREATS.md C23). */
const MOST_ITERATIONS = 600_000;
const MOST_NONCE = 512;

/**
 * The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL uses it: the user name stays empty, the server
 * knows it from the start-up packet. The server must prove that it knows the password, or the connection is given up.
 */
export class ScramClient {
  readonly #password: string;
  readonly #nonce = randomBytes(18).toString('base64');
  /** gs2-header, and the channel's binding where it is bound (RFC 5802 section 6). */
  readonly #gs2: string;
  readonly #binding: Buffer;
  #expected: Buffer | null = null;

  /**
   * @param channel - the binding of the TLS channel to use; `unoffered` when we could bind and the server does not offer to
   * (a server that did offer then knows of a downgrade); `none` without TLS
   */
  constructor(password: string, channel: Buffer | 'unoffered' | 'none' = 'none') {
    this.#password = password;
    this.#gs2 = channel === 'none' ? 'n,,' : channel === 'unoffered' ? 'y,,' : 'p=tls-server-end-point,,';
    this.#binding = typeof channel === 'string' ? Buffer.alloc(0) : channel;
  }

  /** client-first-message. */
  first(): string {
    return `${this.#gs2}${this.#firstBare()}`;
  }

  /**
   * client-final-message for a server-first-message.
   * @throws DaypassError `upstream_auth` when the server's message is not acceptable
   */
  async final(serverFirst: string): Promise<string> {
    const attributes = readAttributes(serverFirst);
    const nonce = attributes.get('r') ?? '';
    const salt = Buffer.from(attributes.get('s') ?? '', 'base64');
    const iterations = Number(attributes.get('i'));
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length || nonce.length > MOST_NONCE)
      fail('a nonce that is not ours');
    if (salt.length === 0) fail('no salt');
    if (!Number.isInteger(iterations) || iterations < 1 || iterations > MOST_ITERATIONS)
      fail(`${attributes.get('i')} iterations`);
    const salted = await saltedPassword(this.#password, salt, iterations);
    const clientKey = hmac(salted, 'Client Key');
    const bound = Buffer.concat([Buffer.from(this.#gs2), this.#binding]).toString('base64');
    const withoutProof = `c=${bound},r=${nonce}`;
    const signed = `${this.#firstBare()},${serverFirst},${withoutProof}`;
    const signature = hmac(createHash('sha256').update(clientKey).digest(), signed);
    const proof = Buffer.from(clientKey.map((byte, i) => byte ^ signature[i]!));
    this.#expected = hmac(hmac(salted, 'Server Key'), signed);
    return `${withoutProof},p=${proof.toString('base64')}`;
  }

  /**
   * Checks server-final-message: the server's own proof.
   * @throws DaypassError `upstream_auth` when the server does not know the password
   */
  verify(serverFinal: string): void {
    const given = Buffer.from(readAttributes(serverFinal).get('v') ?? '', 'base64');
    const expected = this.#expected;
    if (expected === null || given.length !== expected.length || !timingSafeEqual(given, expected))
      fail('no valid signature');
  }

  #firstBare(): string {
    return `n=,r=${this.#nonce}`;
  }
}

/** The slow half of SCRAM depends on nothing but these three: one upstream role's connections share it. */
const SALTED = new Map<string, Promise<Buffer>>();
const MOST_SALTED = 256;

function saltedPassword(password: string, salt: Buffer, iterations: number): Promise<Buffer> {
  const key = createHash('sha256')
    .update(`${iterations}\0${salt.toString('base64')}\0${password}`)
    .digest('base64');
  const known = SALTED.get(key);
  if (known !== undefined) return known;
  const computed = derive(password.normalize('NFKC'), salt, iterations, 32, 'sha256');
  if (SALTED.size >= MOST_SALTED) SALTED.clear();
  SALTED.set(key, computed);
  computed.catch(() => SALTED.delete(key));
  return computed;
}

function readAttributes(message: string): Map<string, string> {
  return new Map(message.split(',').map((part) => [part.slice(0, 1), part.slice(2)]));
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function fail(what: string): never {
  throw new DaypassError('upstream_auth', `the upstream's SCRAM exchange offered ${what}`);
}
