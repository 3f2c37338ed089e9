/** What a bench has started, ended in reverse order. It stands in for a test where the tests' servers ask for one. */
export class Scope {
  readonly #ends: (() => unknown)[] = [];

  /** Has `end` called when the scope ends. */
  teardown(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** Ends everything, the last first; one that fails keeps none of the others from being ended. */
  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) {
      try {
        await end();
      } catch (thrown) {
        process.stderr.write(`bench: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
      }
    }
  }
}
