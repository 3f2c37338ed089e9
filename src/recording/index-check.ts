import type { RecordedEvent } from './event.js';
import { Summary } from './summary.js';

/** What a row of the index counts: of the events `first` to `last`. */
export interface IndexedStretch extends Counts {
  readonly first: number;
  readonly last: number;
}

interface Counts {
  readonly actions: number;
  readonly denied: number;
  readonly rows: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

const ELSEWHERE = 'stands for other events';
const COUNTS = ['actions', 'denied', 'rows', 'bytesIn', 'bytesOut'] as const;

/** Counts a session's events anew, since close-outs take what the index says where it covers all of a record. */
export class IndexCheck {
  readonly #session: string;
  readonly #stretches: readonly IndexedStretch[];
  #at = 0;
  #summary: Summary | null = null;
  /** The first stretch that says something else than its events. */
  #wrong: { readonly first: number; readonly why: string } | null = null;

  /** @param stretches - in order */
  constructor(session: string, stretches: readonly IndexedStretch[]) {
    this.#session = session;
    this.#stretches = stretches;
  }

  /** Events come in order. */
  event(event: RecordedEvent): void {
    const stretch = this.#stretches[this.#at];
    if (stretch === undefined || this.#wrong !== null) return;
    this.#summary ??= new Summary(this.#session, event);
    this.#summary.add(event);
    if (event.seq < stretch.last) return;
    this.#compare(stretch, this.#summary.row());
    this.#at += 1;
    this.#summary = null;
  }

  /** @param lastSeq - the last event of the record @returns null also where the index does not cover all of it, and is not relied on */
  end(lastSeq: number): { readonly first: number; readonly why: string } | null {
    const covered = this.#stretches.reduce((sum, { first, last }) => sum + last - first + 1, 0);
    if (covered !== lastSeq) return null;
    const uncounted = this.#stretches[this.#at];
    return this.#wrong ?? (uncounted === undefined ? null : { first: uncounted.first, why: ELSEWHERE });
  }

  #compare(stretch: IndexedStretch, counted: Counts & { readonly firstSeq: number; readonly lastSeq: number }): void {
    const { first, last } = stretch;
    const differs = COUNTS.find((name) => stretch[name] !== counted[name]);
    if (first !== counted.firstSeq || last !== counted.lastSeq) this.#wrong = { first, why: ELSEWHERE };
    else if (differs !== undefined)
      this.#wrong = { first, why: `has ${stretch[differs]} for ${differs}; recorded are ${counted[differs]}` };
  }
}
