import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

/** Cancel requests one session may make each second. */
const MOST_PER_SECOND = 10;

interface Entry {
  readonly secret: Buffer;
  readonly cancel: () => void;
  window: number;
  count: number;
}

/** A key of the gateway's own making, as the client is given it. */
export interface CancelKey {
  readonly pid: number;
  readonly secret: Buffer;
}

/**
 * The cancel keys clients hold. They are ours: the server's real key never leaves the gateway (THREATS.md C22), so it can
 * cancel nothing but through here, and only while its session lives.
 */
export class CancelKeys {
  readonly #entries = new Map<number, Entry>();

  /** Makes a key for a connection: 4 secret bytes under protocol 3.0, up to 256 under 3.2. */
  issue(cancel: () => void, secretBytes = 4): CancelKey {
    let pid = randomInt(1, 2 ** 31 - 1);
    while (this.#entries.has(pid)) pid = randomInt(1, 2 ** 31 - 1);
    const secret = randomBytes(secretBytes);
    this.#entries.set(pid, { secret, cancel, window: 0, count: 0 });
    return { pid, secret };
  }

  withdraw(pid: number): void {
    this.#entries.delete(pid);
  }

  /**
   * Acts on a CancelRequest. A wrong key counts too, so that a secret cannot be guessed by trying.
   * @param now - monotonic milliseconds
   * @returns whether a cancel was passed on; the client is never told
   */
  use(pid: number, secret: Uint8Array, now: number): boolean {
    const entry = this.#entries.get(pid);
    if (entry === undefined) return false;
    const window = Math.floor(now / 1000);
    if (entry.window !== window) {
      entry.window = window;
      entry.count = 0;
    }
    entry.count += 1;
    if (entry.count > MOST_PER_SECOND) return false;
    if (secret.length !== entry.secret.length || !timingSafeEqual(secret, entry.secret)) return false;
    entry.cancel();
    return true;
  }
}
