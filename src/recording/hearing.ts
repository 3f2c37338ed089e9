import type { RecordedEvent } from './event.js';

/**
 * What somebody makes of the events of one block, to search them or to hold rules against them. Each is heard once, as it is
 * encoded: nobody keeps thousands of events for the sake of those who want to know of them once they are committed.
 * None of this may throw, or wait.
 */
export interface Hearing {
  hear(event: RecordedEvent): void;
  /** What was heard stands so many places further back in the record. */
  moved(by: number): void;
  /** Nothing more comes. @param committed - whether what was heard is in the ledger; false: it was lost, and never will be */
  over(committed: boolean): void;
}

/** Begins to hear the events of a session's next block. */
export type Listen = (sessionId: string) => Hearing;

/** Several that listen, as one. */
export function listenAll(listeners: readonly Listen[]): Listen {
  return (sessionId) => new Hearings(listeners.map((listen) => listen(sessionId)));
}

class Hearings implements Hearing {
  readonly #all: readonly Hearing[];

  constructor(all: readonly Hearing[]) {
    this.#all = all;
  }

  hear(event: RecordedEvent): void {
    for (const one of this.#all) one.hear(event);
  }

  moved(by: number): void {
    for (const one of this.#all) one.moved(by);
  }

  over(committed: boolean): void {
    for (const one of this.#all) one.over(committed);
  }
}
