import { hash } from 'node:crypto';
import { type Digest, ShortDigest } from '../hashing/digest.js';
import { LONG, LongDigest, longDigest } from '../hashing/lane.js';
import { inOnePiece, type Kept, lasting } from '../memory/reading.js';

/** A digest that another thread may be at still. */
export type PendingDigest = Pick<BodyTap, 'isThere' | 'sha256'>;

/**
 * Listens to bytes as they pass: counts them, keeps a copy of their beginning and knows the SHA-256 of them all. Of what is
 * kept whole the digest is made only when somebody asks.
 */
export class BodyTap {
  /** How many bytes are said to come; null while nobody says. */
  expected: number | null;
  /** How much of the beginning is kept, bytes. */
  readonly most: number;
  readonly #long: number;
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  #digest: Digest | null = null;
  #sha256: string | null = null;
  /** The digest was asked for. */
  #isOver = false;
  bytes = 0;

  /**
   * @param most - as it is kept
   * @param long - from which length on another thread may work the digest out, bytes
   */
  constructor(most: number, expected: number | null = null, long = LONG) {
    this.most = most;
    this.expected = expected;
    this.#long = long;
  }

  /** @throws DigestLost when what passes cannot be hashed: it must not pass then */
  push(piece: Kept): void {
    if (this.#isOver) return;
    const { bytes } = piece;
    if (this.#digest === null && this.#keptBytes + bytes.byteLength > this.most) this.#digest = this.#digestOfKept();
    this.#digest?.update(piece);
    this.bytes += bytes.byteLength;
    if (this.#keptBytes < this.most) this.#keep(bytes.subarray(0, this.most - this.#keptBytes));
  }

  /** Hears all that passes, or the rest of it, in one piece. @param kept - the same bytes, where they last */
  whole(bytes: Buffer, kept: Kept | null = null): void {
    const isLong = kept !== null && bytes.byteLength >= this.#long;
    if (isLong || this.bytes > 0 || this.#isOver) return this.push(kept ?? lasting(bytes));
    if (bytes.byteLength === 0) return;
    this.bytes = bytes.byteLength;
    if (this.most > 0) this.#keep(bytes.subarray(0, this.most));
    this.#sha256 = hash('sha256', bytes, 'hex');
    this.#isOver = true;
  }

  /** The first bytes. */
  get sample(): Buffer {
    return inOnePiece(this.#kept);
  }

  /** Whether the sample is all there was. */
  get isWhole(): boolean {
    return this.bytes === this.#keptBytes;
  }

  /**
   * The digest in hex of everything that passed; null when nothing did, or it cannot be had. What passes afterwards is not heard
   * any more.
   */
  sha256(): string | null {
    if (this.bytes === 0) return null;
    this.#isOver = true;
    this.#sha256 ??= this.#digest === null ? hash('sha256', this.sample, 'hex') : this.#digest.hex();
    return this.#sha256;
  }

  /**
   * As `sha256`, for who can wait: another thread may be at it still.
   * @returns the digest, or what has it once it is needed
   */
  sha256Later(): string | null | PendingDigest {
    if (this.#isOver || !(this.#digest instanceof LongDigest)) return this.sha256();
    this.#isOver = true;
    try {
      this.#digest.end();
    } catch {
      return null;
    }
    return this;
  }

  /** Whether `sha256` waits for nobody. */
  get isThere(): boolean {
    return !(this.#digest instanceof LongDigest) || this.#digest.isThere;
  }

  #keep(part: Buffer): void {
    this.#kept.push(Buffer.from(part));
    this.#keptBytes += part.byteLength;
  }

  #digestOfKept(): Digest {
    const digest = longDigest(this.expected, this.#long) ?? new ShortDigest();
    for (const part of this.#kept) digest.update(lasting(part));
    return digest;
  }
}
