import { createHash } from 'node:crypto';
import type { Kept } from '../reading.js';

/** A SHA-256 of what comes in pieces. */
export interface Digest {
  /** @throws when it cannot be worked out */
  update(piece: Kept): void;
  /** Of everything, in hex, which ends it; null when it cannot be had. */
  hex(): string | null;
}

/** Worked out here and now. */
export class ShortDigest implements Digest {
  readonly #hash = createHash('sha256');

  update({ bytes }: Kept): void {
    this.#hash.update(bytes);
  }

  hex(): string {
    return this.#hash.digest('hex');
  }
}
