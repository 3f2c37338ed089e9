import { DaypassError } from '../errors.js';
import { Holdings } from '../holdings.js';
import type { Actor } from '../identity/actor.js';

/** Places for what goes on for long: each person has so many at once, in this process. Whoever runs it is not counted. */
export class Places {
  readonly #most: number;
  readonly #what: string;
  readonly #taken = new Holdings();

  /** @param what - what they are taken for, in the plural */
  constructor(most: number, what: string) {
    this.#most = most;
    this.#what = what;
  }

  /** @returns gives the place back, once @throws DaypassError `too_many_requests` */
  take({ subject, via }: Pick<Actor, 'subject' | 'via'>): () => void {
    if (via === 'socket') return () => {};
    if (this.#taken.of(subject) >= this.#most)
      throw new DaypassError('too_many_requests', `You have ${this.#most} ${this.#what} under way here.`, {
        hint: 'End some, or wait for one to end.',
      });
    this.#taken.add(subject, 1);
    return () => void this.#taken.add(subject, -1);
  }
}
