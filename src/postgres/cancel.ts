import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

/** Cancel requests one session may make each second. */
const MOST_PER_SECOND = 10;

interface Entry {
  readonly secret: Buffer;
  readonly cancel: () => void;
  window: number;
  count: number;
}

/** One of several processes that share a port: the numbers of its keys, divided by `places`, leave `index`. */
export interface KeyNumbers {
  readonly index: number;
  readonly places: number;
}

/** The other processes of a gateway that share its port: a cancel request may reach any of them. */
export interface Neighbours extends KeyNumbers {
  /** Passes a request on to the process that issued such keys. */
  pass(pid: number, secret: Uint8Array): void;
  /** Says who takes the requests that were passed to this process. */
  onPassed(take: (pid: number, secret: Uint8Array) => void): void;
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
  readonly #ours: KeyNumbers | null;

  /** @param ours - null when the process is alone. No two processes issue the same number. */
  constructor(ours: KeyNumbers | null = null) {
    this.#ours = ours;
  }

  /** Makes a key for a connection: 4 secret bytes under protocol 3.0, up to 256 under 3.2. */
  issue(cancel: () => void, secretBytes = 4): CancelKey {
    let pid = this.#draw();
    while (this.#entries.has(pid)) pid = this.#draw();
    const secret = randomBytes(secretBytes);
    this.#entries.set(pid, { secret, cancel, window: 0, count: 0 });
    return { pid, secret };
  }

  withdraw(pid: number): void {
    this.#entries.delete(pid);
  }

  /** Whether a key with this number can only be another process's. */
  isForeign(pid: number): boolean {
    return this.#ours !== null && pid % this.#ours.places !== this.#ours.index;
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

  #draw(): number {
    if (this.#ours === null) return randomInt(1, 2 ** 31 - 1);
    const { index, places } = this.#ours;
    return randomInt(1, Math.floor(2 ** 31 / places)) * places + index;
  }
}
