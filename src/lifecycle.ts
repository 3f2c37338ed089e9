import { messageOf } from './errors.js';
import type { Log } from './log.js';

/** What was started, to be stopped in reverse: each step is caught, so that one failure keeps none of the others from it. */
export class Lifecycle {
  readonly #log: Log;
  readonly #steps: { readonly name: string; readonly stop: () => Promise<unknown> | unknown }[] = [];
  #stopping: Promise<void> | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Registers how to stop what was just started. */
  onStop(name: string, stop: () => Promise<unknown> | unknown): void {
    this.#steps.push({ name, stop });
  }

  /** Stops everything, the last started first. Calling it again waits for the same end. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (const { name, stop } of this.#steps.reverse()) {
      try {
        await stop();
      } catch (thrown) {
        this.#log.error({ step: name, err: messageOf(thrown) }, 'a part did not stop cleanly');
      }
    }
  }
}
