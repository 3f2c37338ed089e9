import type { Analysis, Statement } from './sql/analysis.js';
import { FramingError } from './wire/framer.js';

/** A statement as the gateway knows it: its text and what it does. */
export interface Prepared {
  readonly text: string;
  readonly analysis: Analysis;
  /** Of a text that is only the beginning: the length of its message, bytes, and the SHA-256 of that. */
  readonly whole?: { readonly length: number; readonly sha256: string };
}

/** What a portal runs. */
export interface Portal {
  /** The statements it may stand for: more than one only while the server has not said which. */
  readonly statements: readonly Prepared[];
  readonly parameters: readonly (string | null)[];
}

/** Whether the portal may outlive its transaction: WITH HOLD, or a text that says so somewhere. */
export function mayHold(portal: Portal): boolean {
  return portal.statements.some(({ text }) => /hold/i.test(text));
}

/** A name that SQL (PREPARE, DECLARE) gives a meaning: in doubt until the server has completed the statement. */
export interface Definition {
  /** The statement the name stands for, as it stands in the analysis of the text. */
  readonly body: Statement;
  confirm(): void;
  withdraw(): void;
}

/** How many names one session may keep: a client cannot fill the gateway's memory with them. */
const MOST_NAMES = 10_000;
/** How many meanings one name may have when it is used: judging all of them must not take long. */
const MOST_MEANINGS = 100;

/**
 * What the names of a session (prepared statements, or portals) may stand for. The server alone knows which of several
 * messages with the same name succeeded, so a name stands for everything it could be until the server confirms one:
 * whoever uses it must be allowed all of them (THREATS.md B11). It can therefore never stand for less than what will run.
 *
 * Between two Syncs there is no doubt: had the newest message that names it failed, the server would skip whatever uses
 * the name up to the Sync. A pipeline of any length is judged statement by statement.
 */
export class Names<T> {
  readonly #confirmed = new Map<string, T>();
  readonly #pending = new Map<string, T[]>();
  /** The newest meaning of each name that was given one since the last Sync. */
  readonly #newest = new Map<string, T>();

  /**
   * Everything the name may stand for; empty when the server cannot know it.
   * @throws FramingError when that is too much to judge: the client sends without ever waiting for an answer
   */
  candidates(given: string): readonly T[] {
    const name = keyOf(given);
    const newest = this.#newest.get(name);
    if (newest !== undefined) return [newest];
    const all = this.all(name);
    if (all.length > MOST_MEANINGS)
      throw new FramingError('too much is unanswered: read the answers before sending on', true);
    return all;
  }

  /** Everything that was ever asked for and not refused, the newest last. */
  all(given: string): readonly T[] {
    const name = keyOf(given);
    const pending = this.#pending.get(name) ?? [];
    const confirmed = this.#confirmed.get(name);
    // A copy: what was asked for once must not change under the asker.
    return confirmed === undefined ? [...pending] : [confirmed, ...pending];
  }

  /** As `candidates`, for who is judged by none of them: the newest, as many as may be judged. */
  newest(given: string): readonly T[] {
    const newest = this.#newest.get(keyOf(given));
    return newest === undefined ? this.all(given).slice(-MOST_MEANINGS) : [newest];
  }

  /** What the server has said the name stands for; read while it answers, that is what it stands for there. */
  confirmed(given: string): T | undefined {
    return this.#confirmed.get(keyOf(given));
  }

  /** Whether there may be one more name. Meanings on their way are bounded by how much may be under way at all. */
  hasRoom(given: string): boolean {
    const name = keyOf(given);
    return (
      this.#confirmed.has(name) || this.#pending.has(name) || this.#confirmed.size + this.#pending.size < MOST_NAMES
    );
  }

  /** Whether SQL may give the name one more meaning while the server has not said what became of the others. */
  mayDefine(given: string): boolean {
    const name = keyOf(given);
    return this.hasRoom(name) && (this.#pending.get(name)?.length ?? 0) < MOST_MEANINGS;
  }

  /** The client asked the server to give the name this meaning, by a message that fails with everything behind it. */
  propose(given: string, meaning: T): void {
    const name = keyOf(given);
    this.define(name, meaning);
    this.#newest.set(name, meaning);
  }

  /** SQL text asks for it: whether and when it comes about is not known. */
  define(given: string, meaning: T): void {
    const name = keyOf(given);
    this.#newest.delete(name);
    const pending = this.#pending.get(name);
    if (pending === undefined) this.#pending.set(name, [meaning]);
    else pending.push(meaning);
  }

  /** The client asked the server to close the name. */
  closing(given: string): void {
    const name = keyOf(given);
    this.#newest.delete(name);
  }

  /** A Sync, or a simple Query: from here on what came before may have failed, and what comes next runs all the same. */
  sync(): void {
    this.#newest.clear();
  }

  /**
   * The server did. A meaning that was never proposed is not kept: there was no room for it.
   * @param known - what it turned out to be, when that is more exact
   */
  confirm(given: string, meaning: T, known: T = meaning): void {
    const name = keyOf(given);
    if (!this.#settle(name, meaning)) return;
    this.#confirmed.set(name, known);
  }

  /** The server did not. */
  withdraw(given: string, meaning: T): void {
    const name = keyOf(given);
    if (this.#newest.get(name) === meaning) this.#newest.delete(name);
    this.#settle(name, meaning);
  }

  #settle(name: string, meaning: T): boolean {
    const pending = this.#pending.get(name);
    const at = pending?.indexOf(meaning) ?? -1;
    if (pending === undefined || at === -1) return false;
    if (at === 0) pending.shift();
    else pending.splice(at, 1);
    if (pending.length === 0) this.#pending.delete(name);
    return true;
  }

  /** The server closed every name, but for the unnamed one: DEALLOCATE ALL leaves it. */
  closeAll(): void {
    for (const name of this.#confirmed.keys()) if (name !== '') this.#confirmed.delete(name);
  }

  /** The server closed the name. */
  close(given: string): void {
    const name = keyOf(given);
    this.#confirmed.delete(name);
  }

  /** The server closed every name whose meaning does not satisfy `survives`. Only when nothing is under way. */
  retain(survives: (meaning: T) => boolean): void {
    this.#newest.clear();
    for (const [name, meaning] of this.#confirmed) if (!survives(meaning)) this.#confirmed.delete(name);
    for (const [name, meanings] of this.#pending) {
      const left = meanings.filter(survives);
      if (left.length === 0) this.#pending.delete(name);
      else this.#pending.set(name, left);
    }
  }
}

/** NAMEDATALEN less its NUL: the server compares the names of protocol messages by so many bytes, and ignores the rest. */
const COMPARED = 63;

/** What the server tells names apart by: two names that are one to it are one here (THREATS.md B11). */
export function keyOf(name: string): string {
  // One that is not UTF-8, a character for each byte (`readParse`).
  if (name.startsWith('\0')) return name.slice(0, COMPARED + 1);
  if (name.length <= COMPARED && /^[\x00-\x7f]*$/.test(name)) return name;
  return Buffer.from(name).subarray(0, COMPARED).toString('latin1');
}
