/** What is read into where much comes, bytes. */
export const PAGE_BYTES = 128 * 1024;
/** How many pages are kept for later. */
const MOST_FREE = 32;
const free: Page[] = [];
/**
 * Those beyond, as long as they are there: shared memory counts for nothing in when garbage is collected, so pages that nobody holds
 * would pile up beside ones made anew.
 */
const left: WeakRef<Page>[] = [];

/**
 * Memory that one connection reads into, and that is read into again when nobody holds it any more. Whoever holds a page and
 * never releases it costs that page's later use, and no more: it goes with the last reference to it.
 */
export class Page {
  /** Shared with the thread that hashes. */
  readonly memory = new SharedArrayBuffer(PAGE_BYTES);
  readonly bytes = Buffer.from(this.memory);
  #holders = 1;

  /** Held by nobody but who reads into it. */
  get isHeldOnce(): boolean {
    return this.#holders === 1;
  }

  /** To be released as often. */
  hold(): void {
    this.#holders += 1;
  }

  readonly release = (): void => {
    this.#holders -= 1;
    if (this.#holders !== 0) return;
    if (free.length < MOST_FREE) free.push(this);
    else left.push(new WeakRef(this));
  };
}

/** A page that nobody else holds. */
export function takePage(): Page {
  const page = free.pop() ?? takeLeft();
  if (page === null) return new Page();
  page.hold();
  return page;
}

function takeLeft(): Page | null {
  for (;;) {
    const page = left.pop();
    if (page === undefined) return null;
    const there = page.deref();
    if (there !== undefined) return there;
  }
}
