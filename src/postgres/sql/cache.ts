/** A bounded map: when it is over its number of entries or their total size, the entries used longest ago leave. */
export class SizedCache<T> {
  readonly #entries = new Map<string, { readonly value: T; readonly size: number }>();
  readonly #maxEntries: number;
  readonly #maxSize: number;
  #size = 0;
  /** The key used last: what comes again and again need not be moved. */
  #newest: string | null = null;

  /** @param maxSize - in the unit that `set` is given sizes in */
  constructor(maxEntries: number, maxSize: number) {
    this.#maxEntries = maxEntries;
    this.#maxSize = maxSize;
  }

  get(key: string): T | undefined {
    const entry = this.#entries.get(key);
    if (!entry || key === this.#newest) return entry?.value;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#newest = key;
    return entry.value;
  }

  set(key: string, value: T, size: number): void {
    this.#remove(key);
    if (size > this.#maxSize) return;
    this.#entries.set(key, { value, size });
    this.#size += size;
    this.#newest = key;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries && this.#size <= this.#maxSize) break;
      this.#remove(oldest);
    }
  }

  get count(): number {
    return this.#entries.size;
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#size -= entry.size;
  }
}
