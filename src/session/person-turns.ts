import { Queue } from '../queue.js';
import { goOnLater } from './later.js';

/** How long what one person's clients sent is worked on in one turn of the event loop, milliseconds. */
const AT_A_TIME = 5;
/** Whoever took longer in one turn waits as long as that took, so that others have as much; but no longer than a second. */
const LONG = 4 * AT_A_TIME;
const MOST_REST = 1_000;

/** Those who had something worked on in this turn, or wait for the next. */
const people = new Map<string, PersonTurn>();
let isEnding = false;

/** The turn that all clients of one person share. For now alone: it is another one when nothing of theirs waits any more. */
export function turnOf(person: string): PersonTurn {
  const known = people.get(person);
  if (!isEnding) setImmediate(endTurn);
  isEnding = true;
  if (known !== undefined) return known;
  const turn = new PersonTurn();
  people.set(person, turn);
  return turn;
}

function endTurn(): void {
  isEnding = false;
  for (const [person, turn] of people) if (!turn.waits) people.delete(person);
}

/**
 * What is worked on for one person. A short message may cost much (a statement of 64 KiB is parsed in a tenth of a second), and
 * who has many connections would have as many turns: of one person with 20 of them others were not heard for 10 s.
 */
class PersonTurn {
  readonly #waiting = new Queue<() => void>();
  #spent = 0;
  /** One of those that waited goes on now. */
  #isCalled = false;

  /** Whether others come first now. */
  get isOver(): boolean {
    return this.#spent >= AT_A_TIME || (this.waits && !this.#isCalled);
  }

  get waits(): boolean {
    return this.#waiting.size > 0;
  }

  /** @param work - is told from when on it is to stop */
  work<T>(work: (isOver: () => boolean) => T): T {
    this.#isCalled = false;
    const before = this.#spent;
    const began = performance.now();
    const isOver = () => before + performance.now() - began >= AT_A_TIME;
    try {
      return work(isOver);
    } finally {
      this.#spent = before + performance.now() - began;
    }
  }

  /** Has one of the person's clients go on in its turn. */
  later(goOn: () => void): void {
    this.#waiting.push(goOn);
    if (this.#waiting.size === 1) goOnLater(this.#next);
  }

  readonly #next = (): void => {
    const spent = this.#spent;
    this.#spent = 0;
    if (spent > LONG) return void setTimeout(this.#next, Math.min(spent, MOST_REST));
    this.#isCalled = true;
    this.#waiting.shift()?.();
    if (this.waits) goOnLater(this.#next);
  };
}

export type { PersonTurn };
