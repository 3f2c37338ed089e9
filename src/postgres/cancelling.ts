import { setTimeout as pause } from 'node:timers/promises';

/**
 * Tells a server of a client's cancel requests, one after the other: each takes a connection of its own, for long where the
 * server is silent. Those that come meanwhile are told once, behind it: they may be about a statement that came later.
 */
export class Cancelling {
  readonly #tell: () => Promise<void>;
  #underWay: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #isOver = false;
  #letGo = () => {};

  /** @param tell - resolves when the server has been told, or could not be; never, where its session ends before that */
  constructor(tell: () => Promise<void>) {
    this.#tell = tell;
  }

  /** Resolves when the server has been told of this one, or could not be. */
  ask(): Promise<void> {
    if (this.#underWay === null) return this.#begin();
    this.#next ??= this.#underWay.then(() => {
      this.#next = null;
      return this.#begin();
    });
    return this.#next;
  }

  /** The session is over: nobody waits any more. */
  stop(): void {
    this.#isOver = true;
    this.#letGo();
  }

  #begin(): Promise<void> {
    const told = new Promise<void>((resolve) => {
      this.#letGo = resolve;
      if (this.#isOver) resolve();
      else void this.#tell().then(resolve);
    });
    this.#underWay = told.then(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }
}

/** How long a server may take to act on a cancel request before it is told again, milliseconds. */
const AGAIN = [10, 40, 150, 300];
/**
 * So long after a statement was sent the server may not have begun to read it, milliseconds. What runs for longer has heard the first
 * request: a function may have caught it, and would be disturbed as it tidies up.
 */
export const MAY_BE_UNREAD = 1_000;

/**
 * Tells a server of a cancel request. One that has not begun to read the statement drops it (PostgreSQL heeds none while it
 * waits for a command), and would run on: told again while it is at the same, unless it is silent.
 * @param turn - another number each time the server is ready; null while it is at nothing, or at what it has surely read
 * @param again - tells it so that nothing it answers meanwhile leads to a statement which that would hit
 */
export async function tellUntilHeard(
  turn: () => number | null,
  tell: () => Promise<boolean>,
  again: () => Promise<boolean>,
): Promise<void> {
  const about = turn();
  let answers = await tell();
  for (const after of AGAIN) {
    if (!answers || about === null || turn() !== about) return;
    await pause(after, undefined, { ref: false });
    if (turn() !== about) return;
    answers = await again();
  }
}
