import type { Redis } from 'ioredis';
import { DaypassError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { FeedState } from './store.js';

/** A subscription the server refuses (its ACL, say) is asked for again after this long. */
const RETRY_MS = 1_000;

interface Listener {
  readonly heard: (id: string) => void;
  readonly state: FeedState | undefined;
}

/** The subscriber's own connection: it reconnects for ever and subscribes anew each time. */
export class RedisFeed {
  readonly #client: Redis;
  readonly #channel: string;
  readonly #log: Log;
  readonly #listeners = new Set<Listener>();
  #up = false;
  #started = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(client: Redis, channel: string, log: Log) {
    this.#client = client;
    this.#channel = channel;
    this.#log = log;
    client.on('message', (_channel: string, id: string) => this.#hear(id));
    client.on('ready', () => void this.#subscribe());
    client.on('close', () => this.#lost());
    client.on('error', (error) => this.#log.debug({ error: messageOf(error) }, 'redis feed'));
  }

  /** @throws DaypassError `store_unavailable` when the feed cannot be heard now; nothing is subscribed then */
  async subscribe(heard: (id: string) => void, state?: FeedState): Promise<() => Promise<void>> {
    const listener: Listener = { heard, state };
    if (!this.#up) await this.#start();
    this.#listeners.add(listener);
    return async () => void this.#listeners.delete(listener);
  }

  /** Finds out whether the connection is only half open; a dead one is replaced. */
  probe(): void {
    if (!this.#up) return;
    this.#client.ping().catch(() => this.#client.disconnect(true));
  }

  close(): void {
    this.#listeners.clear();
    clearTimeout(this.#retry);
    this.#client.disconnect();
  }

  async #start(): Promise<void> {
    try {
      if (!this.#started) {
        this.#started = true;
        await this.#client.connect();
      }
      // Also when `ready` did so already: the answer is what says that changes are heard from here on.
      await this.#client.subscribe(this.#channel);
      this.#up = true;
    } catch (cause) {
      throw new DaypassError('store_unavailable', `The grant feed cannot be heard: ${messageOf(cause)}`, { cause });
    }
  }

  async #subscribe(): Promise<void> {
    // While the connection is down there is nothing to ask: its next `ready` comes here again.
    if (this.#client.status !== 'ready') return;
    try {
      await this.#client.subscribe(this.#channel);
      if (!this.#up) this.#resumed();
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, 'the grant feed could not be subscribed; trying again');
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => void this.#subscribe(), RETRY_MS).unref();
    }
  }

  #hear(id: string): void {
    for (const { heard } of this.#listeners) heard(id);
  }

  #resumed(): void {
    this.#up = true;
    for (const { state } of this.#listeners) state?.resumed();
  }

  #lost(): void {
    if (!this.#up) return;
    this.#up = false;
    for (const { state } of this.#listeners) state?.lost();
  }
}
