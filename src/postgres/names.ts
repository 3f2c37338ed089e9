import type { Analysis } from './sql/analysis.js';

/** A statement as the gateway knows it: its text and what it does. */
export interface Prepared {
  readonly text: string;
  readonly analysis: Analysis;
}

/** What a portal runs. */
export interface Portal {
  /** The statements it may stand for: more than one only while the server has not said which. */
  readonly statements: readonly Prepared[];
  readonly parameters: readonly (string | null)[];
}

/** How many names one session may keep: a client cannot fill the gateway's memory with them. */
const MOST_NAMES = 10_000;
/** How many meanings one name may gather without the server confirming one. */
const MOST_MEANINGS = 1_000;

/**
 * What the names of a session (prepared statements, or portals) may stand for. The server alone knows which of several
 * messages with the same name succeeded, so a name stands for everything it could be until the server confirms one:
 * whoever uses it must be allowed all of them (THREATS.md B11). It can therefore never stand for less than what will run.
 */
export class Names<T> {
  readonly #confirmed = new Map<string, T>();
  readonly #pending = new Map<string, T[]>();

  /** Everything the name may stand for; empty when the server cannot know it. */
  candidates(name: string): readonly T[] {
    const pending = this.#pending.get(name);
    const confirmed = this.#confirmed.get(name);
    if (pending === undefined) return confirmed === undefined ? [] : [confirmed];
    // A copy: what was asked for once must not change under the asker.
    return confirmed === undefined ? [...pending] : [confirmed, ...pending];
  }

  /** Whether the name may get one more meaning. */
  hasRoom(name: string): boolean {
    const names = this.#confirmed.size + this.#pending.size;
    return names < MOST_NAMES && (this.#pending.get(name)?.length ?? 0) < MOST_MEANINGS;
  }

  /** The client asked the server to give the name this meaning. */
  propose(name: string, meaning: T): void {
    const pending = this.#pending.get(name);
    if (pending === undefined) this.#pending.set(name, [meaning]);
    else pending.push(meaning);
  }

  /** The server did. */
  confirm(name: string, meaning: T): void {
    this.withdraw(name, meaning);
    this.#confirmed.set(name, meaning);
  }

  /** The server did not. */
  withdraw(name: string, meaning: T): void {
    const pending = this.#pending.get(name);
    const at = pending?.indexOf(meaning) ?? -1;
    if (pending === undefined || at === -1) return;
    pending.splice(at, 1);
    if (pending.length === 0) this.#pending.delete(name);
  }

  /** The server closed the name. */
  close(name: string): void {
    this.#confirmed.delete(name);
  }

  /** The server closed every name whose meaning does not satisfy `survives`. Only when nothing is under way. */
  retain(survives: (meaning: T) => boolean): void {
    for (const [name, meaning] of this.#confirmed) if (!survives(meaning)) this.#confirmed.delete(name);
    for (const [name, meanings] of this.#pending) {
      const left = meanings.filter(survives);
      if (left.length === 0) this.#pending.delete(name);
      else this.#pending.set(name, left);
    }
  }
}
