import type { Conversation } from './conversation.js';

/** How often what runs too long is looked for, and how long past its time it may run before we end it, milliseconds. */
const CHECK = 1_000;
const GRACE = 500;

/** The server ends what runs too long; should it not, we do: SET or the upstream's own settings may have got past it. */
export class Overtime {
  readonly #talk: Conversation;
  readonly #cancel: () => Promise<unknown>;
  #isCancelling = false;
  #timer: NodeJS.Timeout | null = null;

  /** @param cancel - has the server cancel what runs; resolves when it was told, or could not be */
  constructor(talk: Conversation, cancel: () => Promise<unknown>) {
    this.#talk = talk;
    this.#cancel = cancel;
  }

  /** How long each statement may run from here on, milliseconds; null: as long as it takes. */
  limit(most: number | null): void {
    this.stop();
    if (most !== null) this.#timer = setInterval(() => this.#look(most), CHECK).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #look(most: number): void {
    const { since, expectations, clock } = this.#talk;
    const { head } = expectations;
    if (this.#isCancelling || since === 0 || (head?.kind !== 'query' && head?.kind !== 'execute')) return;
    if (clock.monotonic() - since <= most + GRACE) return;
    this.#isCancelling = true;
    void this.#cancel().then(() => {
      this.#isCancelling = false;
    });
  }
}
