import { createHash } from 'node:crypto';
import type { Kept } from '../memory/reading.js';

/** What passes cannot be hashed any more: who works it out does not answer. */
export class DigestLost extends Error {
  constructor() {
    super('the thread that hashes does not answer');
  }
}

/** A SHA-256 of what comes in pieces. */
export interface Digest {
  /** @throws DigestLost */
  update(piece: Kept): void;
  /** Nothing more comes. What is worked out elsewhere is worked out meanwhile. */
  end(): void;
  /** Of everything, in hex, which ends it; null when it cannot be had. Waits for who works it out. */
  hex(): string | null;
}

/** Worked out here and now. */
export class ShortDigest implements Digest {
  readonly #hash = createHash('sha256');

  update({ bytes }: Kept): void {
    this.#hash.update(bytes);
  }

  end(): void {}

  hex(): string {
    return this.#hash.digest('hex');
  }
}
