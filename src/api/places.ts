import { DaypassError } from '../errors.js';
import type { Actor } from '../identity/actor.js';

/** Places for what goes on for long: each person has so many at once, in this process. Whoever runs it is not counted. */
export class Places {
  readonly #most: number;
  readonly #what: string;
  readonly #taken = new Map<string, number>();

  /** @param what - what they are taken for, in the plural */
  constructor(most: number, what: string) {
    this.#most = most;
    this.#what = what;
  }

  /** @returns gives the place back, once @throws DaypassError `too_many_requests` */
  take({ subject, via }: Pick<Actor, 'subject' | 'via'>): () => void {
    if (via === 'socket') return () => {};
    const count = (this.#taken.get(subject) ?? 0) + 1;
    if (count > this.#most)
      throw new DaypassError('too_many_requests', `You have ${this.#most} ${this.#what} under way here.`, {
        hint: 'End some, or wait for one to end.',
      });
    this.#taken.set(subject, count);
    return () => {
      const left = (this.#taken.get(subject) ?? 1) - 1;
      if (left === 0) this.#taken.delete(subject);
      else this.#taken.set(subject, left);
    };
  }
}
