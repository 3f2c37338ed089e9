import type { Decision } from '../policy/decision.js';
import { Queue } from '../queue.js';
import type { CopyData } from './copy-data.js';
import type { PostgresAction } from './decide.js';
import { weightOfExpectation } from './kept.js';
import type { Definition, Portal, Prepared } from './names.js';

/** What the server is going to answer, one entry for each message it was sent, in order. */
export type Expectation =
  | QueryExpectation
  | { readonly kind: 'parse'; readonly name: string; readonly statement: Prepared }
  | { readonly kind: 'bind'; readonly name: string; readonly statement: string; readonly portal: Portal }
  | { readonly kind: 'describe' }
  | { readonly kind: 'close'; readonly target: 'S' | 'P'; readonly name: string }
  | ExecuteExpectation
  /** A refused message, in whose place the server got one it cannot parse: its error becomes ours. */
  | { readonly kind: 'refused'; readonly simple: boolean; readonly refusal: Refusal }
  | { readonly kind: 'sync' }
  /** Here the client ended a COPY's data before it was asked for any. Nothing answers it. */
  | { readonly kind: 'copyEnd'; readonly copy: CopyData };

/** A Query: one result for each statement of its text. */
export interface QueryExpectation {
  readonly kind: 'query';
  readonly seq: number;
  /** What was allowed, to be judged again should the policy change meanwhile. */
  readonly action: PostgresAction;
  /** How many of its statements are completed. */
  done: number;
  failed: boolean;
  readonly defined: readonly Definition[];
  /** A FunctionCall, which is answered like a Query but with one result of its own. */
  readonly call?: true;
}

/** An Execute: one result, or a part of one. */
export interface ExecuteExpectation {
  readonly kind: 'execute';
  readonly seq: number;
  readonly action: PostgresAction;
  readonly portal: string;
  readonly defined: readonly Definition[];
}

/** How a refusal reads in PostgreSQL's words. */
export interface Refusal {
  readonly sqlstate: string;
  readonly decision: Decision;
}

/**
 * How many may be unanswered before a client is read no further. Each that runs something is recorded when the connection ends: of 400,000
 * the record of all others stood behind that for longer than it may.
 */
const MOST = 4 * 1024;

/**
 * The answers that are still to come. It follows the extended query protocol's rule that an error makes the server skip
 * everything up to the next Sync (section "Extended Query"), so that each error, result and confirmation is told of the
 * message that caused it.
 */
export class Expectations {
  readonly #queue = new Queue<Expectation>();
  #results = 0;
  #weight = 0;
  /** The server skips what it is sent until a Sync. */
  #skipping = false;

  get head(): Expectation | undefined {
    return this.#queue.head;
  }

  /** How many are not answered yet. */
  get size(): number {
    return this.#queue.size;
  }

  get areMany(): boolean {
    return this.size > MOST;
  }

  /** Roughly what is kept of them here, bytes. */
  get weight(): number {
    return this.#weight;
  }

  /** Whether one of them is the answer to an Execute or a Query. */
  get awaitsResult(): boolean {
    return this.#results > 0;
  }

  /** Adds what was just sent. @returns false when the server will skip it */
  add(expectation: Expectation): boolean {
    if (this.#skipping && expectation.kind !== 'sync') return false;
    this.#skipping = false;
    this.#queue.push(expectation);
    if (hasResult(expectation)) this.#results += 1;
    this.#weight += weightOfExpectation(expectation);
    return true;
  }

  /** Everything that is not answered yet, in order. */
  unanswered(): readonly Expectation[] {
    return this.#queue.all();
  }

  /** The head was answered. What ends data behind it that it did not ask for ends nothing: the server ignores it. */
  pop(): Expectation | undefined {
    const head = this.#shift();
    while (this.head?.kind === 'copyEnd') this.#shift();
    return head;
  }

  #shift(): Expectation | undefined {
    const head = this.#queue.shift();
    if (head === undefined) return undefined;
    if (hasResult(head)) this.#results -= 1;
    this.#weight -= weightOfExpectation(head);
    return head;
  }

  /** The head failed inside a pipeline: answers everything that the server now skips, the head included. */
  fail(): Expectation[] {
    const skipped: Expectation[] = [];
    while (this.head !== undefined && this.head.kind !== 'sync') skipped.push(this.pop()!);
    this.#skipping = this.head === undefined;
    return skipped;
  }

  /**
   * The head takes a COPY's data: the server swallows the Syncs it was sent before that has ended.
   * @returns what stands behind them: the end of the data, or what was sent in its place; undefined when that is to come
   */
  takeData(): Expectation | undefined {
    const [head, ...rest] = this.#queue.all();
    if (head === undefined) return undefined;
    const at = rest.findIndex(({ kind }) => kind !== 'sync');
    const behind = at === -1 ? [] : rest.slice(at);
    const [next] = behind;
    if (next?.kind === 'copyEnd') {
      behind.shift();
      this.#weight -= weightOfExpectation(next);
    }
    this.#queue.replace([head, ...behind]);
    return next;
  }
}

/** Whether a COPY's data may come to be asked for, or a result to be given. */
export function hasResult({ kind }: Expectation): boolean {
  return kind === 'execute' || kind === 'query';
}
