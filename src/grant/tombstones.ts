import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { GrantStore } from './store.js';

const RETRY_MS = 1_000;

/** Tombstones the store did not take: tried again every second while the process runs. The ledger denies meanwhile. */
export class TombstoneRetry {
  readonly #store: GrantStore;
  readonly #log: Log;
  readonly #owed = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(store: GrantStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** @param until - milliseconds since the epoch */
  add(id: string, until: number): void {
    this.#owed.set(id, Math.max(until, this.#owed.get(id) ?? 0));
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => void this.#retry(), RETRY_MS).unref();
  }

  async #retry(): Promise<void> {
    try {
      for (const [id, until] of [...this.#owed]) {
        await this.#store.revoke(id, until);
        this.#owed.delete(id);
        this.#log.info({ grant: id }, 'the tombstone reached the store');
      }
    } catch (error) {
      this.#log.warn({ owed: this.#owed.size, error: messageOf(error) }, 'tombstones wait for the store');
    }
    this.#timer = undefined;
    if (this.#owed.size > 0) this.#arm();
  }
}
