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

/** So many refusals of one person a minute are written down one by one. */
const MOST = 60;

/**
 * Writes refused acts down, each in a transaction of its own, and of one person at most so many a minute: what is beyond them
 * becomes one line that says how many they were, so that a flood of nonsense can neither fill the log nor hide what others
 * try. A refusal stays one, whether or not it could be written down.
 */
export class RefusedActs {
  readonly #parts: RefusedActsParts;
  readonly #minute: number;
  #since = Number.NEGATIVE_INFINITY;
  /** By actor: of this minute, and not listed. */
  readonly #listed = new Map<string, number>();
  readonly #more = new Map<string, number>();
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: RefusedActsParts) {
    this.#parts = parts;
    this.#minute = parts.minute ?? 60_000;
  }

  /** Never throws. */
  async note(entry: AuditEntry): Promise<void> {
    const now = this.#parts.clock.monotonic();
    if (now - this.#since >= this.#minute) {
      this.#since = now;
      this.#listed.clear();
    }
    const listed = this.#listed.get(entry.actor) ?? 0;
    if (listed >= MOST) return this.#count(entry.actor);
    this.#listed.set(entry.actor, listed + 1);
    await this.#write(entry);
  }

  /** Writes down how many were not listed. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#summarise();
  }

  #count(actor: string): void {
    this.#more.set(actor, (this.#more.get(actor) ?? 0) + 1);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.#summarise();
    }, this.#minute).unref();
  }

  async #summarise(): Promise<void> {
    const more = [...this.#more];
    this.#more.clear();
    const by = { actor: 'gateway', via: 'system', act: 'audit.refusals', target: 'audit', result: 'refused' } as const;
    for (const [actor, count] of more) {
      const reason = `${count} more refused acts of ${actor} are not listed`;
      await this.#write({ ...by, reason, detail: { actor, count } });
    }
  }

  async #write(entry: AuditEntry): Promise<void> {
    const { act, target, actor } = entry;
    await this.#parts.append(entry).catch((thrown: unknown) => {
      this.#parts.log.error({ act, target, actor, err: messageOf(thrown) }, 'a refused act could not be written down');
    });
  }
}
