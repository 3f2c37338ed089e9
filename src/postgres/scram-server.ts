import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ScramVerifier } from '../grant/scram.js';

/** What a client's SCRAM message was not. Said to the client as a failed authentication. */
export class ScramError extends Error {
  override readonly name = 'ScramError';
}

const PLUS = 'SCRAM-SHA-256-PLUS';
const PLAIN = 'SCRAM-SHA-256';
/** A client's nonce: printable ASCII without commas (RFC 5802 section 5.1). */
const NONCE = /^[\x21-\x2b\x2d-\x7e]{1,256}$/;
/** gs2-header, then client-first-message-bare; the user's name is the start-up packet's, and empty here. */
const FIRST = /^(n|y|p=tls-server-end-point),(?:a=[^,]*)?,(n=[^,]*,r=([^,]+))$/;
const FINAL = /^(c=([A-Za-z0-9+/=]+),r=([^,]+)),p=([A-Za-z0-9+/]{43}=)$/;

/**
 * The server's side of SCRAM-SHA-256 and -PLUS (RFC 5802, 5929, 7677), towards clients that will not send a password in
 * clear. `tls-server-end-point` binds it to our certificate, so that nobody in between can pass the exchange on.
 */
export class ScramServer {
  readonly #verifier: ScramVerifier;
  /** Hash of our certificate; null without TLS. */
  readonly #binding: Buffer | null;
  readonly #nonce = randomBytes(18).toString('base64');
  #messages = '';
  #gs2 = '';
  #fullNonce = '';

  constructor(verifier: ScramVerifier, binding: Buffer | null) {
    this.#verifier = verifier;
    this.#binding = binding;
  }

  /** The mechanisms to offer, the best first. */
  static mechanisms(binding: Buffer | null): string[] {
    return binding === null ? [PLAIN] : [PLUS, PLAIN];
  }

  /**
   * Answers the client's first message.
   * @throws ScramError when it is not acceptable
   */
  first(mechanism: string, message: string): string {
    const [, flag, bare, nonce] = FIRST.exec(message) ?? [];
    if (flag === undefined || bare === undefined || nonce === undefined || !NONCE.test(nonce))
      throw new ScramError('a malformed message');
    const bound = flag.startsWith('p=');
    if ((mechanism === PLUS) !== bound || !ScramServer.mechanisms(this.#binding).includes(mechanism))
      throw new ScramError('a mechanism that does not fit');
    // "y": the client could bind and believes that we cannot. We can: somebody took the offer out on the way.
    if (flag === 'y' && this.#binding !== null) throw new ScramError('a downgrade of channel binding');
    this.#gs2 = message.slice(0, message.length - bare.length);
    this.#fullNonce = nonce + this.#nonce;
    const { salt, iterations } = this.#verifier;
    const answer = `r=${this.#fullNonce},s=${salt.toString('base64')},i=${iterations}`;
    this.#messages = `${bare},${answer}`;
    return answer;
  }

  /**
   * Checks the client's proof.
   * @returns our own proof for the client
   * @throws ScramError when the client does not know the handle
   */
  final(message: string): string {
    const [, withoutProof, binding, nonce, proof] = FINAL.exec(message) ?? [];
    if (withoutProof === undefined || proof === undefined || nonce !== this.#fullNonce)
      throw new ScramError('a malformed message');
    const bound = Buffer.concat([
      Buffer.from(this.#gs2),
      this.#gs2.startsWith('p=') ? this.#binding! : Buffer.alloc(0),
    ]);
    if (binding !== bound.toString('base64')) throw new ScramError('another channel');
    const signed = `${this.#messages},${withoutProof}`;
    const signature = hmac(this.#verifier.storedKey, signed);
    const key = Buffer.from(Buffer.from(proof, 'base64').map((byte, i) => byte ^ signature[i]!));
    if (!timingSafeEqual(createHash('sha256').update(key).digest(), this.#verifier.storedKey))
      throw new ScramError('a wrong proof');
    return `v=${hmac(this.#verifier.serverKey, signed).toString('base64')}`;
  }
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
