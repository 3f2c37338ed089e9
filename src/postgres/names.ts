import { Queue } from '../queue.js';
import type { Analysis, Statement } from './sql/analysis.js';
import { FramingError } from './wire/framing.js';

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
  return portal.statements.some(saysHold);
}

/** Looked for once: thousands of portals run one long statement, and all are asked for at the end of each transaction. */
const saying = new WeakMap<Prepared, boolean>();

function saysHold(statement: Prepared): boolean {
  const known = saying.get(statement);
  if (known !== undefined) return known;
  const says = /hold/i.test(statement.text);
  saying.set(statement, says);
  return says;
}

/** A name that SQL (PREPARE, DECLARE) gives a meaning: in doubt until the server has completed the statement. */
export interface Definition {
  /** The statement the name stands for, as it stands in the analysis of the text. */
  readonly body: Statement;
  confirm(): void;
  withdraw(): void;
}

/** Who keeps what names stand for. */
export interface Keeper<T> {
  /** @returns whether there is memory for it */
  take(meaning: T): boolean;
  give(meaning: T): void;
}

const ENDLESS: Keeper<unknown> = { take: () => true, give: () => {} };

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
  readonly #named = new Map<string, Meanings<T>>();
  /** The empty name, which nearly every statement uses: nothing is made for it each time. */
  readonly #unnamed: Meanings<T> = { key: '', confirmed: undefined, pending: new Queue(), newest: undefined };
  /** A simple Query was sent, and the server has confirmed nothing that the empty name was given since. */
  #emptied = false;
  /** What it was given last since then. */
  #refilled: T | undefined;
  /** What has a newest meaning; but for the empty name. */
  readonly #fresh = new Set<Meanings<T>>();
  readonly #keeper: Keeper<T>;

  constructor(keeper: Keeper<T> = ENDLESS) {
    this.#keeper = keeper;
  }

  /**
   * Everything the name may stand for; empty when the server cannot know it.
   * @throws FramingError when that is too much to judge: the client sends without ever waiting for an answer
   */
  candidates(given: string): readonly T[] {
    const name = this.#find(given);
    if (name?.newest !== undefined) return [name.newest];
    if (this.#isEmptied(name)) return [];
    if (name !== undefined && name.pending.size + (name.confirmed === undefined ? 0 : 1) > MOST_MEANINGS)
      throw new FramingError('too much is unanswered: read the answers before sending on', true);
    return allOf(name);
  }

  /** Everything that was ever asked for and not refused, the newest last. */
  all(given: string): readonly T[] {
    return allOf(this.#find(given));
  }

  /** As `candidates`, for who is judged by none of them: the newest, as many as may be judged. */
  newest(given: string): readonly T[] {
    const name = this.#find(given);
    if (name === undefined) return [];
    if (name.newest !== undefined) return [name.newest];
    if (this.#isEmptied(name)) return [];
    return name.pending.size < MOST_MEANINGS ? allOf(name) : name.pending.last(MOST_MEANINGS);
  }

  /** What the server has said the name stands for; read while it answers, that is what it stands for there. */
  confirmed(given: string): T | undefined {
    return this.#find(given)?.confirmed;
  }

  /** Whether there may be one more name. Meanings on their way are bounded by how much may be under way at all. */
  hasRoom(given: string): boolean {
    return this.#named.size < MOST_NAMES || this.#find(given) !== undefined;
  }

  /** Whether SQL may give the name one more meaning while the server has not said what became of the others. */
  mayDefine(given: string): boolean {
    return this.hasRoom(given) && (this.#find(given)?.pending.size ?? 0) < MOST_MEANINGS;
  }

  /**
   * The client asked the server to give the name this meaning, by a message that fails with everything behind it.
   * @returns false when there is no memory for it: it is not known then
   */
  propose(given: string, meaning: T): boolean {
    if (!this.#keeper.take(meaning)) return false;
    const name = this.#findOrMake(given);
    name.pending.push(meaning);
    name.newest = meaning;
    if (name !== this.#unnamed) this.#fresh.add(name);
    else this.#refilled = meaning;
    return true;
  }

  /** SQL text asks for it: whether and when it comes about is not known. @returns as `propose` */
  define(given: string, meaning: T): boolean {
    if (!this.#keeper.take(meaning)) return false;
    const name = this.#findOrMake(given);
    name.newest = undefined;
    name.pending.push(meaning);
    return true;
  }

  /** The client asked the server to close the name. */
  closing(given: string): void {
    const name = this.#find(given);
    if (name === undefined) return;
    name.newest = undefined;
    this.#tidy(name);
  }

  /** A Sync, or a simple Query: from here on what came before may have failed, and what comes next runs all the same. */
  sync(): void {
    this.#unnamed.newest = undefined;
    if (this.#fresh.size === 0) return;
    for (const name of this.#fresh) {
      name.newest = undefined;
      this.#tidy(name);
    }
    this.#fresh.clear();
  }

  /**
   * A simple Query was sent, which the server runs under the empty name. Once it has failed in a transaction, the name leads to what was
   * freed already: PostgreSQL (18.4) crashes when that is executed, with everybody's connections. So from here on the name stands for
   * nothing but what is surely put in its place: by the same segment, or by what the server has confirmed.
   */
  queried(): void {
    this.#emptied = true;
    this.#refilled = undefined;
  }

  #isEmptied(name: Meanings<T> | undefined): boolean {
    return this.#emptied && name === this.#unnamed;
  }

  /**
   * The server did. A meaning that was never proposed is not kept: there was no room for it.
   * @param known - what it turned out to be, when that is more exact: no more than it was
   */
  confirm(given: string, meaning: T, known: T = meaning): void {
    const name = this.#find(given);
    if (name === undefined || !name.pending.remove(meaning)) return;
    if (meaning === this.#refilled) this.#emptied = false;
    this.#forget(name);
    name.confirmed = known;
    if (known === meaning) return;
    this.#keeper.give(meaning);
    this.#keeper.take(known);
  }

  /** The server did not. */
  withdraw(given: string, meaning: T): void {
    const name = this.#find(given);
    if (name === undefined) return;
    if (name.newest === meaning) name.newest = undefined;
    if (name.pending.remove(meaning)) this.#keeper.give(meaning);
    this.#tidy(name);
  }

  /** The server closed every name, but for the unnamed one: DEALLOCATE ALL leaves it. */
  closeAll(): void {
    for (const name of this.#named.values()) {
      this.#forget(name);
      this.#tidy(name);
    }
  }

  /** The server closed the name. */
  close(given: string): void {
    const name = this.#find(given);
    if (name === undefined) return;
    this.#forget(name);
    this.#tidy(name);
  }

  /** The server closed every name whose meaning does not satisfy `survives`. Only when nothing is under way. */
  retain(survives: (meaning: T) => boolean): void {
    this.#keep(this.#unnamed, survives);
    for (const name of this.#named.values()) {
      this.#keep(name, survives);
      this.#tidy(name);
    }
    if (this.#fresh.size > 0) this.#fresh.clear();
  }

  #keep(name: Meanings<T>, survives: (meaning: T) => boolean): void {
    name.newest = undefined;
    if (name.confirmed !== undefined && !survives(name.confirmed)) this.#forget(name);
    if (name.pending.size === 0) return;
    const pending = name.pending.all();
    for (const meaning of pending) if (!survives(meaning)) this.#keeper.give(meaning);
    name.pending.replace(pending.filter(survives));
  }

  #forget(name: Meanings<T>): void {
    if (name.confirmed !== undefined) this.#keeper.give(name.confirmed);
    name.confirmed = undefined;
  }

  #find(given: string): Meanings<T> | undefined {
    return given === '' ? this.#unnamed : this.#named.get(keyOf(given));
  }

  #findOrMake(given: string): Meanings<T> {
    const known = this.#find(given);
    if (known !== undefined) return known;
    const key = keyOf(given);
    const made: Meanings<T> = { key, confirmed: undefined, pending: new Queue(), newest: undefined };
    this.#named.set(key, made);
    return made;
  }

  /** A name that stands for nothing takes no room. */
  #tidy(name: Meanings<T>): void {
    if (name.confirmed !== undefined || name.pending.size > 0 || name.newest !== undefined) return;
    this.#named.delete(name.key);
    this.#fresh.delete(name);
  }
}

/** What one name may stand for. */
interface Meanings<T> {
  /** What the server tells it from others by. */
  readonly key: string;
  confirmed: T | undefined;
  /** What was asked for and is not answered, in order. */
  readonly pending: Queue<T>;
  /** The newest meaning, if it was given one since the last Sync. */
  newest: T | undefined;
}

function allOf<T>(name: Meanings<T> | undefined): readonly T[] {
  if (name === undefined) return [];
  // A copy: what was asked for once must not change under the asker.
  return name.confirmed === undefined ? name.pending.all() : [name.confirmed, ...name.pending.all()];
}

/** NAMEDATALEN less its NUL: the server compares the names of protocol messages by so many bytes, and ignores the rest. */
const COMPARED = 63;

/** What the server tells names apart by: two names that are one to it are one here (THREATS.md B11). */
export function keyOf(name: string): string {
  // One that is not UTF-8, a character for each byte (`readParse`). A mere slice would keep all of it.
  if (name.startsWith('\0')) return Buffer.from(name.slice(0, COMPARED + 1), 'latin1').toString('latin1');
  if (name.length <= COMPARED && isAscii(name)) return name;
  return Buffer.from(name).subarray(0, COMPARED).toString('latin1');
}

function isAscii(name: string): boolean {
  for (let at = 0; at < name.length; at += 1) if (name.charCodeAt(at) > 0x7f) return false;
  return true;
}
