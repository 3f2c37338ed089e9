import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { AuditEntry } from './entry.js';

export interface RefusedActsParts {
  readonly append: (entry: AuditEntry) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a minute is, milliseconds. */
  readonly minute?: number;
}

/** So many refusals a minute are written down one by one. */
const MOST = 60;

/**
 * Writes refused acts down, each in a transaction of its own, and at most so many a minute: what is beyond them becomes one
 * line that says how many they were, so that a flood of nonsense cannot fill the log. A refusal stays one, whether or not it
 * could be written down.
 */
export class RefusedActs {
  readonly #parts: RefusedActsParts;
  readonly #minute: number;
  #since = Number.NEGATIVE_INFINITY;
  #listed = 0;
  #more = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: RefusedActsParts) {
    this.#parts = parts;
    this.#minute = parts.minute ?? 60_000;
  }

  /** Never throws. */
  async note(entry: AuditEntry): Promise<void> {
    const now = this.#parts.clock.monotonic();
    if (now - this.#since >= this.#minute) [this.#since, this.#listed] = [now, 0];
    if (this.#listed >= MOST) return this.#count();
    this.#listed += 1;
    await this.#write(entry);
  }

  /** Writes down how many were not listed. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#summarise();
  }

  #count(): void {
    this.#more += 1;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.#summarise();
    }, this.#minute).unref();
  }

  async #summarise(): Promise<void> {
    const count = this.#more;
    if (count === 0) return;
    this.#more = 0;
    const reason = `${count} more refused acts are not listed`;
    const by = { actor: 'gateway', via: 'system', result: 'refused' } as const;
    await this.#write({ ...by, act: 'audit.refusals', target: 'audit', reason, detail: { count } });
  }

  async #write(entry: AuditEntry): Promise<void> {
    const { act, target, actor } = entry;
    await this.#parts.append(entry).catch((thrown: unknown) => {
      this.#parts.log.error({ act, target, actor, err: messageOf(thrown) }, 'a refused act could not be written down');
    });
  }
}
