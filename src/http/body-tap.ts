import { createHash, type Hash, hash } from 'node:crypto';

/**
 * Listens to bytes as they pass: counts them, keeps a copy of their beginning and knows the SHA-256 of them all. Of what is
 * kept whole the digest is made only when somebody asks.
 */
export class BodyTap {
  readonly #most: number;
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  #hash: Hash | null = null;
  #sha256: string | null = null;
  bytes = 0;

  /** @param most - how much of the beginning is kept, bytes */
  constructor(most: number) {
    this.#most = most;
  }

  push(chunk: Uint8Array): void {
    if (this.#sha256 !== null) return;
    if (this.#hash === null && this.#keptBytes + chunk.byteLength > this.#most) this.#hash = this.#hashOfKept();
    this.#hash?.update(chunk);
    this.bytes += chunk.byteLength;
    if (this.#keptBytes < this.#most) this.#keep(chunk.subarray(0, this.#most - this.#keptBytes));
  }

  /** Hears all that passes, in one piece. */
  whole(bytes: Uint8Array): void {
    if (this.bytes > 0 || this.#sha256 !== null) return this.push(bytes);
    if (bytes.byteLength === 0) return;
    this.bytes = bytes.byteLength;
    if (this.#most > 0) this.#keep(bytes.subarray(0, this.#most));
    this.#sha256 = hash('sha256', bytes, 'hex');
  }

  /** The first bytes. */
  get sample(): Buffer {
    const [only, ...more] = this.#kept;
    return only !== undefined && more.length === 0 ? only : Buffer.concat(this.#kept);
  }

  /** Whether the sample is all there was. */
  get isWhole(): boolean {
    return this.bytes === this.#keptBytes;
  }

  /** The digest in hex of everything that passed; null when nothing did. What passes afterwards is not heard any more. */
  sha256(): string | null {
    if (this.bytes === 0) return null;
    this.#sha256 ??= this.#hash === null ? hash('sha256', this.sample, 'hex') : this.#hash.digest('hex');
    return this.#sha256;
  }

  #keep(part: Uint8Array): void {
    this.#kept.push(Buffer.from(part));
    this.#keptBytes += part.byteLength;
  }

  #hashOfKept(): Hash {
    const hash = createHash('sha256');
    for (const part of this.#kept) hash.update(part);
    return hash;
  }
}
