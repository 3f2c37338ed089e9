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

/** What a connection reads into: the same bytes again and again while little comes, pages while much does. */
export class Reading {
  readonly #little: Buffer;
  #page: Page | null = null;

  /** @param little - `MANY` bytes or more */
  constructor(little: Buffer) {
    this.#little = little;
  }

  /** What is read into now. */
  get buffer(): Buffer {
    return this.#page === null ? this.#little : this.#page.bytes;
  }

  /** What is read into next. @param last - how many bytes came last */
  next(last: number): Buffer {
    const isMuch = last >= MANY;
    if (this.#page !== null) {
      if (isMuch && this.#page.isHeldOnce) return this.#page.bytes;
      this.close();
    }
    if (isMuch) this.#page = takePage();
    return this.buffer;
  }

  /** Has bytes last that were read just now, before `next`. */
  keep(bytes: Buffer): Kept {
    const page = this.#page;
    if (page === null || bytes.byteLength < FEW) return lasting(Buffer.from(bytes));
    page.hold();
    return { bytes, release: page.release, page };
  }

  /** Nothing more is read for now. */
  close(): void {
    this.#page?.release();
    this.#page = null;
  }
}

/** Bytes that nothing is ever read into. */
export function lasting(bytes: Buffer): Kept {
  return { bytes, release: nothing, page: null };
}

function nothing(): void {}
