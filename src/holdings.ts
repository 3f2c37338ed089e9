/** How much of something each one has. Who has none of it takes no memory here. */
export class Holdings {
  readonly #of = new Map<string, number>();
  #all = 0;

  /** What all have together. */
  get all(): number {
    return this.#all;
  }

  of(one: string): number {
    return this.#of.get(one) ?? 0;
  }

  /** @param more - less than nothing where something is given back @returns what they have then */
  add(one: string, more: number): number {
    const theirs = this.of(one) + more;
    this.#all += more;
    if (theirs > 0) this.#of.set(one, theirs);
    else this.#of.delete(one);
    return theirs;
  }

  /**
   * Whether there is so much more for somebody: all that others have left, but no more than is free then. So one alone has half of it, of
   * two each a third, and who has much keeps nobody else from having some.
   * @param most - what all may have
   */
  leaves(one: string, more: number, most: number): boolean {
    return this.of(one) + more <= most - this.#all;
  }
}
