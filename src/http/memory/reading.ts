import { PAGE_BYTES, type Page, takePage } from './pages.js';

/** Bytes that last, and what to call, once, when nobody needs them any more. Not calling it costs memory, and nothing else. */
export interface Kept {
  readonly bytes: Buffer;
  readonly release: () => void;
  /** Where they stand, if they stand in a page. */
  readonly page: Page | null;
}

/** From reads of so many bytes on more of them is expected, and pages are read into. */
const MANY = 16 * 1024;
/** Fewer bytes of a page are copied, so that they do not hold it. */
const FEW = PAGE_BYTES / 4;
/** So much of a page that is held is read into further: of a client that takes little no two pages are half empty. */
const ROOM = PAGE_BYTES / 2;

/** What a connection reads into: the same bytes again and again while little comes, pages while much does. */
export class Reading {
  readonly #little: Buffer;
  #page: Page | null = null;
  /** How much of the page has been read into, bytes. */
  #filled = 0;
  /** How many bytes came last. */
  #last = 0;
  /** What is read into now. */
  buffer: Buffer;

  /** @param little - `MANY` bytes or more */
  constructor(little: Buffer) {
    this.#little = little;
    this.buffer = little;
  }

  /** So many bytes were read. @returns them; they are overwritten from `next` on, unless they are kept */
  came(length: number): Buffer {
    this.#last = length;
    this.#filled += length;
    return this.buffer.subarray(0, length);
  }

  /** For now no more is to come than anybody sends: a connection that rests must not have a page to itself. */
  expectLittle(): void {
    this.#last = 0;
  }

  /** What is read into next. */
  next(): Buffer {
    const isMuch = this.#last >= MANY;
    const page = this.#page;
    if (page !== null && isMuch) {
      if (page.isHeldOnce) this.#filled = 0;
      if (PAGE_BYTES - this.#filled >= ROOM) return this.#readInto(page);
    }
    this.close();
    if (isMuch) {
      this.#page = takePage();
      this.#filled = 0;
      this.#readInto(this.#page);
    }
    return this.buffer;
  }

  #readInto({ bytes }: Page): Buffer {
    this.buffer = this.#filled === 0 ? bytes : bytes.subarray(this.#filled);
    return this.buffer;
  }

  /** Has bytes last that were read just now, before `next`. */
  keep(bytes: Buffer): Kept {
    const page = this.#page;
    if (page === null || bytes.byteLength < FEW) return copied(bytes);
    page.hold();
    return { bytes, release: page.release, page };
  }

  /** Nothing more is read for now. */
  close(): void {
    this.#page?.release();
    this.#page = null;
    this.buffer = this.#little;
  }
}

/** Bytes that nothing is ever read into. */
export function lasting(bytes: Buffer): Kept {
  return { bytes, release: nothing, page: null };
}

/** A copy of bytes that something is read into. */
export function copied(bytes: Buffer): Kept {
  return lasting(Buffer.from(bytes));
}

/** Pieces as one, which is no copy where there is but one. */
export function inOnePiece(pieces: readonly Buffer[]): Buffer {
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

function nothing(): void {}
