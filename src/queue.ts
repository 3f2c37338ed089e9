/** What waits in order. Taking the first costs the same however many wait: to shift a long array moves all of it. */
export class Queue<T> {
  #items: T[] = [];
  #from = 0;

  get size(): number {
    return this.#items.length - this.#from;
  }

  get head(): T | undefined {
    return this.#items[this.#from];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Takes the first out. */
  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const head = this.#items[this.#from];
    this.#from += 1;
    if (this.#from === this.#items.length) this.replace([]);
    else if (this.#from > 64 && this.#from * 2 > this.#items.length) this.replace(this.all());
    return head;
  }

  /** Takes one out that is mostly the first. @returns whether it was there */
  remove(item: T): boolean {
    if (this.size > 0 && this.head === item) {
      this.shift();
      return true;
    }
    const at = this.#items.indexOf(item, this.#from);
    if (at !== -1) this.#items.splice(at, 1);
    return at !== -1;
  }

  /** The first one first: a copy, as `last` is. */
  all(): T[] {
    return this.#items.slice(this.#from);
  }

  /** The last ones, so many at most. */
  last(count: number): T[] {
    return this.#items.slice(Math.max(this.#from, this.#items.length - count));
  }

  /** These wait from here on. @param items - the queue's own from here on */
  replace(items: T[]): void {
    this.#items = items;
    this.#from = 0;
  }
}
