import type { PoolClient } from 'pg';
import type { Alert } from '../../recording/alerts.js';
import type { RecordedEvent } from '../../recording/event.js';

/** A live session, as the rules see it. */
export interface Watched {
  readonly session: string;
  readonly grant: string;
  readonly principal: string;
  readonly service: string;
}

/** What a rule found. The ledger has the last word, asked behind the recording in the alert's own transaction. */
export interface Finding {
  /** The same finding that waits still is counted, not asked about once more. */
  readonly key: string;
  /** @returns null where the ledger says that it is nothing */
  readonly look: (client: PoolClient) => Promise<Alert | null>;
}

/** Looks at an event on its way into the record: no I/O, and next to nothing for what it is not about. */
export type EventRule = (watched: Watched, event: RecordedEvent) => Finding | null;

/** What needs no look into the ledger. */
export function certain(alert: Alert): Finding {
  return { key: `${alert.kind} ${alert.subject}`, look: async () => alert };
}

/** A map that forgets what was set longest ago. */
export class Remembered<Value> {
  readonly #most: number;
  readonly #values = new Map<string, Value>();

  constructor(most: number) {
    this.#most = most;
  }

  get(key: string): Value | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: Value): void {
    this.#values.delete(key);
    this.#values.set(key, value);
    const oldest = this.#values.keys().next();
    if (this.#values.size > this.#most && !oldest.done) this.#values.delete(oldest.value);
  }

  delete(key: string): void {
    this.#values.delete(key);
  }
}

/** How many people, sessions and so on one rule remembers. */
export const MOST = 10_000;
