/**
 * Joins questions about single ids into one about many: what is asked while an answer is awaited goes out together with
 * the next question. Every answer is to a question that was sent after it was asked, so it is never older than the asking.
 */
export class Batch<T> {
  readonly #ask: (ids: readonly string[]) => Promise<ReadonlyMap<string, T>>;
  #waiting = new Map<string, Promise<T | null>>();
  #next: Promise<ReadonlyMap<string, T>> | null = null;
  #underWay = 0;
  #free: (() => void) | null = null;

  /** @param ask - answers for the ids it knows */
  constructor(ask: (ids: readonly string[]) => Promise<ReadonlyMap<string, T>>) {
    this.#ask = ask;
  }

  /** @returns null for an id that is not known */
  get(id: string): Promise<T | null> {
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) return waiting;
    this.#next ??= this.#send();
    const answer = this.#next.then((found) => found.get(id) ?? null);
    this.#waiting.set(id, answer);
    return answer;
  }

  async #send(): Promise<ReadonlyMap<string, T>> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    // Two questions at once: one slow answer keeps nobody waiting who asks later.
    if (this.#underWay >= 2) await new Promise<void>((resolve) => (this.#free = resolve));
    const ids = [...this.#waiting.keys()];
    this.#waiting = new Map();
    this.#next = null;
    this.#underWay += 1;
    try {
      return await this.#ask(ids);
    } finally {
      this.#underWay -= 1;
      this.#free?.();
      this.#free = null;
    }
  }
}
