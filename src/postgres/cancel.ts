import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import { sourceOf } from '../gate/network.js';

/** Guesses at the key of one session each second, from one address: whoever sees its process number may try. */
const MOST_PER_SECOND = 10;
/** From how many addresses they may come each second. */
const MOST_CLIENTS = 16;

interface Entry {
  readonly pid: number;
  readonly secret: Buffer;
  readonly cancel: () => Promise<void>;
  window: number;
  /** By whom the client's address counts as, in this window. */
  readonly guesses: Map<string, number>;
}

/** One of several processes that share a port: the first secret byte of its keys, divided by `places`, leaves `index`. */
export interface KeyPlace {
  readonly index: number;
  readonly places: number;
}

/** The other processes of a gateway that share its port: a cancel request may reach any of them. */
export interface Neighbours extends KeyPlace {
  /** Passes a request on to the process that issued such keys. Resolves when that has done with it. */
  pass(place: number, pid: number, secret: Uint8Array, client: string): Promise<void>;
  /** Says who takes the requests that were passed to this process. */
  onPassed(take: (pid: number, secret: Uint8Array, client: string) => Promise<void>): void;
}

/** A key as the client is given it. */
export interface CancelKey {
  /** The server's own process number: clients know by it which notices are theirs, and whom they wait for. */
  readonly pid: number;
  /** Of the gateway's making. */
  readonly secret: Buffer;
}

/**
 * The cancel keys clients hold. Their secrets are ours: the server's real one never leaves the gateway (THREATS.md C22), so
 * a key can cancel nothing but through here, and only while its session lives.
 */
export class CancelKeys {
  /** By process number, which servers of several services may have given out at the same time. */
  readonly #entries = new Map<number, Set<Entry>>();
  readonly #ours: KeyPlace | null;

  /** @param ours - null when the process is alone */
  constructor(ours: KeyPlace | null = null) {
    this.#ours = ours;
  }

  /**
   * Makes a key for a connection: 4 secret bytes under protocol 3.0, up to 256 under 3.2.
   * @param pid - of the server's process; null when the server gave no key out
   */
  issue(cancel: () => Promise<void>, pid: number | null, secretBytes = 4): CancelKey {
    const entry = {
      pid: pid ?? randomInt(1, 2 ** 31 - 1),
      secret: this.#draw(secretBytes),
      cancel,
      window: 0,
      guesses: new Map<string, number>(),
    };
    const same = this.#entries.get(entry.pid) ?? new Set();
    this.#entries.set(entry.pid, same.add(entry));
    return entry;
  }

  withdraw({ pid, secret }: CancelKey): void {
    const same = this.#entries.get(pid);
    for (const entry of same ?? []) if (entry.secret === secret) same?.delete(entry);
    if (same?.size === 0) this.#entries.delete(pid);
  }

  /** The one other process that may have issued a key with this secret; null when it can only be ours. */
  placeOf(secret: Uint8Array): number | null {
    if (this.#ours === null) return null;
    const place = (secret[0] ?? 0) % this.#ours.places;
    return place === this.#ours.index ? null : place;
  }

  /**
   * Acts on a CancelRequest. Right keys are not counted: a program whose statements time out quickly sends many, and the one that
   * was dropped would leave it waiting. Behind too many guesses a right one is refused as well, or guessing would not be limited.
   * @param now - monotonic milliseconds
   * @param client - the address it came from: guesses from there do not use up what others may try
   * @returns null when no cancel is passed on; otherwise what resolves when the server has been told
   */
  use(pid: number, secret: Uint8Array, now: number, client = ''): Promise<void> | null {
    const source = sourceOf(client);
    const open = [...(this.#entries.get(pid) ?? [])].filter((entry) => mayTry(entry, now, source));
    const right = open.find((entry) => isSecretOf(entry, secret));
    if (right !== undefined) return right.cancel();
    for (const { guesses } of open) guesses.set(source, (guesses.get(source) ?? 0) + 1);
    return null;
  }

  #draw(bytes: number): Buffer {
    const secret = randomBytes(bytes);
    if (this.#ours === null) return secret;
    const { index, places } = this.#ours;
    secret[0] = randomInt(Math.floor(256 / places)) * places + index;
    return secret;
  }
}

function mayTry(entry: Entry, now: number, source: string): boolean {
  const window = Math.floor(now / 1000);
  if (entry.window !== window) {
    entry.window = window;
    entry.guesses.clear();
  }
  const count = entry.guesses.get(source);
  return count === undefined ? entry.guesses.size < MOST_CLIENTS : count < MOST_PER_SECOND;
}

function isSecretOf(entry: Entry, secret: Uint8Array): boolean {
  return secret.length === entry.secret.length && timingSafeEqual(secret, entry.secret);
}
