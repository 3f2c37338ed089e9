import { isLoopback } from '../config/address.js';
import { DaypassError } from '../errors.js';
import type { PostgresTarget } from './role.js';
import { ScramClient } from './scram.js';
import { passwordMessage, saslInitialResponse, saslResponse } from './wire/frontend-writer.js';

const CODE = { ok: 0, cleartext: 3, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;

/**
 * Logging in to an upstream, one step after the other: SCRAM-SHA-256, or the password in clear where nobody can listen. A
 * server gets each answer once; whatever is out of turn ends the attempt (THREATS.md C23).
 */
export class UpstreamLogin {
  readonly #target: PostgresTarget;
  /** The binding of the TLS channel; null without TLS, or where its certificate allows none. */
  readonly #binding: Buffer | null;
  #scram: ScramClient;
  #next: ReadonlySet<number> = new Set([CODE.ok, CODE.cleartext, CODE.sasl]);
  /** The server has let us in. */
  done = false;

  constructor(target: PostgresTarget, binding: Buffer | null) {
    this.#target = target;
    this.#binding = binding;
    this.#scram = new ScramClient(target.password);
  }

  /**
   * What to answer an authentication request (`R`), or null.
   * @throws DaypassError `upstream_auth` on a method or an order that is not acceptable
   */
  async answer(message: Buffer): Promise<Buffer | null> {
    const code = message.length < 9 ? -1 : message.readInt32BE(5);
    if (!this.#next.has(code)) throw unacceptable(`asks for authentication step ${code} out of turn, or unknown here`);
    switch (code) {
      case CODE.cleartext:
        this.#next = new Set([CODE.ok]);
        return passwordMessage(cleartext(this.#target));
      case CODE.sasl:
        this.#next = new Set([CODE.saslContinue]);
        return this.#begin(message.toString('latin1', 9).split('\0'));
      case CODE.saslContinue:
        this.#next = new Set([CODE.saslFinal]);
        return saslResponse(await this.#scram.final(message.toString('utf8', 9)));
      case CODE.saslFinal:
        this.#scram.verify(message.toString('utf8', 9));
        this.#next = new Set([CODE.ok]);
        return null;
      default:
        this.#next = new Set();
        this.done = true;
        return null;
    }
  }

  /** Bound to the channel where both sides can: nobody in between can then pass the exchange on. */
  #begin(offered: readonly string[]): Buffer {
    const { password } = this.#target;
    if (this.#binding !== null && offered.includes(BOUND)) {
      this.#scram = new ScramClient(password, this.#binding);
      return saslInitialResponse(BOUND, this.#scram.first());
    }
    if (!offered.includes(MECHANISM)) throw unacceptable('offers no SCRAM-SHA-256');
    this.#scram = new ScramClient(password, this.#binding === null ? 'none' : 'unoffered');
    return saslInitialResponse(MECHANISM, this.#scram.first());
  }
}

const MECHANISM = 'SCRAM-SHA-256';
const BOUND = 'SCRAM-SHA-256-PLUS';

/** The password in clear goes only through TLS or stays on this machine. */
function cleartext(target: PostgresTarget): string {
  if (target.tls.mode === 'disable' && !isLoopback(target.host))
    throw unacceptable('asks for the password in clear without TLS');
  return target.password;
}

/** The server did something the gateway does not go along with. */
export function unacceptable(what: string): DaypassError {
  return new DaypassError('upstream_auth', `the database ${what}`);
}
