import type { SoughtSecret } from '../config/secret.js';

/** Something to look for, and what it is called. */
interface Sought {
  readonly name: string;
  readonly bytes: Buffer;
  /** The same as header lines have it. */
  readonly latin1: string;
}

/** Who is told of what was seen. */
export interface SightingsHeard {
  /** A secret was seen; called once for each. */
  seen(name: string): void;
  /** Something passed in which none could be recognised; called once. */
  encoded(): void;
}

/**
 * Looks for the secrets that are injected towards a service in what the service says to one session. Each is told of once;
 * what the service encodes, compresses or takes apart is not recognised.
 */
export class Sightings {
  readonly #heard: SightingsHeard;
  readonly #seen = new Set<string>();
  #encoded = false;
  #sought: readonly Sought[] = [];
  #longest = 0;

  constructor(secrets: readonly SoughtSecret[], heard: SightingsHeard) {
    this.#heard = heard;
    this.replace(secrets);
  }

  /** The policy was reloaded: from here on these are looked for. */
  replace(secrets: readonly SoughtSecret[]): void {
    this.#sought = secrets.flatMap((secret) => soughtOf(secret)).filter(({ name }) => !this.#seen.has(name));
    this.#longest = Math.max(0, ...this.#sought.map(({ bytes }) => bytes.length));
  }

  /** Begins to listen to one stream of bytes. */
  stream(): SightedStream {
    return new SightedStream(this);
  }

  /** Length of the longest form, bytes; 0 when nothing is looked for. */
  get longest(): number {
    return this.#sought.length === 0 ? 0 : this.#longest;
  }

  /** Looks through some bytes. */
  bytes(bytes: Buffer): void {
    for (const one of this.#sought) if (bytes.includes(one.bytes)) this.#saw(one);
  }

  /** Looks through a text whose characters are bytes, as those of header lines are. */
  text(latin1: string): void {
    for (const one of this.#sought) if (latin1.includes(one.latin1)) this.#saw(one);
  }

  /** What passes is compressed, or encoded otherwise: it is not looked through. */
  encoded(): void {
    if (this.#encoded || this.#sought.length === 0) return;
    this.#encoded = true;
    this.#heard.encoded();
  }

  #saw({ name }: Sought): void {
    if (this.#seen.has(name)) return;
    this.#seen.add(name);
    this.#sought = this.#sought.filter((other) => other.name !== name);
    this.#heard.seen(name);
  }
}

function soughtOf(secret: SoughtSecret): Sought[] {
  return secret.forms().map((bytes) => ({ name: secret.name, bytes, latin1: bytes.toString('latin1') }));
}

/** One stream of bytes, in which a secret may begin in one chunk and end in another. */
export class SightedStream {
  readonly #sightings: Sightings;
  /** The end of what has passed, and room for as much of what comes. */
  #seam: Buffer = NOTHING;
  #kept = 0;

  /** For `Sightings.stream` alone. */
  constructor(sightings: Sightings) {
    this.#sightings = sightings;
  }

  push(chunk: Uint8Array): void {
    const keep = this.#sightings.longest - 1;
    if (keep < 0) return;
    if (this.#seam.length !== 2 * keep) this.#grow(keep);
    const bytes = chunk instanceof Buffer ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#sightings.bytes(bytes);
    const begun = bytes.copy(this.#seam, this.#kept, 0, keep);
    if (this.#kept > 0) this.#sightings.bytes(this.#seam.subarray(0, this.#kept + begun));
    this.#keepEnd(bytes, this.#kept + begun, keep);
  }

  /** @param filled - how much of the seam is the stream's, with the beginning of these bytes */
  #keepEnd(bytes: Buffer, filled: number, keep: number): void {
    if (bytes.length >= keep) this.#kept = bytes.copy(this.#seam, 0, bytes.length - keep);
    else {
      const from = Math.max(0, filled - keep);
      this.#seam.copyWithin(0, from, filled);
      this.#kept = filled - from;
    }
  }

  /** A reloaded policy looks for longer or shorter ones. */
  #grow(keep: number): void {
    const kept = this.#seam.subarray(Math.max(0, this.#kept - keep), this.#kept);
    const seam = Buffer.allocUnsafe(2 * keep);
    this.#kept = kept.copy(seam);
    this.#seam = seam;
  }
}

const NOTHING = Buffer.alloc(0);
