/**
 * One request until it is known whether it passes. One that is refused is told of once, though its body may turn out to be
 * unreadable besides: whichever is found first.
 */
export class Asked {
  #refused = false;
  #settled = false;
  #unreadable: (() => void) | null = null;

  /** Whether its body broke its framing: nothing of it may be forwarded. */
  get isBroken(): boolean {
    return this.#unreadable !== null;
  }

  /** It was refused, which has been logged and counted. */
  refused(): void {
    this.#refused = true;
  }

  /** It is known whether it passes, and if not, that has been told. */
  settle(): void {
    this.#settled = true;
    if (!this.#refused) this.#unreadable?.();
  }

  /** @param tell - logs and counts it; called at once, or when nothing else has been told of this request */
  unreadable(tell: () => void): void {
    this.#unreadable = tell;
    if (this.#settled && !this.#refused) tell();
  }
}
