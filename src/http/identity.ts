import { type Assertion, LIFETIME, publicKeySet, signAssertion } from '../grant/assertion.js';
import { type KeyRing, keyRing, type SigningKey } from '../grant/keys.js';
import type { Session } from '../session/session.js';

/** An assertion with less than this left is replaced before it is used again, milliseconds. */
const LEAST_LEFT = 20_000;

/** What services are told about who stands behind a request, signed. One assertion serves a session's requests for a while. */
export class Identity {
  readonly #key: SigningKey;
  readonly #wall: () => number;
  readonly #current = new WeakMap<Session, Assertion>();
  readonly #signing = new WeakMap<Session, Promise<string>>();
  /** The JWK Set that services verify with. */
  readonly keys: Promise<string>;

  /** @param trusted - the keys to publish; the signing key's alone when not given */
  constructor(key: SigningKey, wall: () => number, trusted: KeyRing = keyRing(key)) {
    this.#key = key;
    this.#wall = wall;
    this.keys = publicKeySet(trusted);
  }

  /** The session's assertion: at once when a good one is at hand, else when it is signed. */
  assertion(session: Session): string | Promise<string> {
    const current = this.#current.get(session);
    if (current !== undefined && this.#isGood(current, session)) return current.token;
    const under = this.#signing.get(session) ?? this.#sign(session);
    this.#signing.set(session, under);
    return under;
  }

  /** Good for a while, or for as long as the grant itself. One that is good for longer is from before the clock was set back. */
  #isGood({ expiresAt }: Assertion, session: Session): boolean {
    const left = expiresAt - this.#wall();
    if (left > LIFETIME * 1_000) return false;
    return left >= LEAST_LEFT || (left > 0 && expiresAt === session.expiresAt);
  }

  async #sign(session: Session): Promise<string> {
    try {
      const assertion = await signAssertion(this.#key, session.grant, session.id, this.#wall());
      this.#current.set(session, assertion);
      return assertion.token;
    } finally {
      this.#signing.delete(session);
    }
  }
}
