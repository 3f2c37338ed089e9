import type { Pool } from 'pg';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { RecordedEvent } from './event.js';
import { isContentFault } from './faults.js';
import type { Hearing, Listen } from './hearing.js';
import { writeIndexRows } from './index-rows.js';
import { rebuildIndex } from './rebuild.js';
import { type IndexRow, Summary } from './summary.js';

export interface IndexOptions {
  readonly pool: Pool;
  readonly log: Log;
  /** Called with rows that are in the index; it must neither throw nor wait. */
  readonly written?: (rows: readonly IndexRow[]) => void;
  /** How long events are gathered before they are written, milliseconds. */
  readonly stretch?: number;
  /** How much may wait to be written, bytes; more is dropped and rebuilt later from the blocks. */
  readonly mostBytes?: number;
}

const STRETCH = 500;
const MOST_BYTES = 32 * 1024 * 1024;
const ROWS_A_WRITE = 500;
/** Beyond so many sessions with holes it is not remembered which: everything is to be rebuilt. */
const MOST_DUE = 10_000;

/**
 * Makes committed events searchable, behind the recording and never in its way: what is heard is only summed up, a timer writes.
 * While Postgres does not answer, a session's stretch simply grows (its summary is bounded); when there are too many
 * sessions for the memory allowed, rows are dropped and the sessions are remembered for `repair`.
 */
export class IndexWriter {
  readonly #options: IndexOptions;
  #gathering = new Map<string, Summary>();
  #bytes = 0;
  #writing: Promise<void> | null = null;
  /** Rows that were not written yet, the oldest first. */
  #unwritten: IndexRow[] = [];
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  #failing = false;
  readonly #due = new Set<string>();
  #everythingDue = false;

  constructor(options: IndexOptions) {
    this.#options = options;
  }

  /** Sums up what a session's next block says; counts once that is committed. Never throws, never waits. */
  readonly listen: Listen = (sessionId) => new Hearer(sessionId, (said) => this.#gather(sessionId, said));

  #gather(sessionId: string, said: Said): void {
    const first = said instanceof Summary ? said : said[0];
    if (first === undefined || this.#closed) return;
    const known = this.#gathering.get(sessionId);
    if (known === undefined && this.#bytes >= (this.#options.mostBytes ?? MOST_BYTES)) {
      this.#drop(sessionId);
      return;
    }
    const before = known?.size ?? 0;
    const summary = known ?? new Summary(sessionId, first);
    if (said instanceof Summary) summary.append(said);
    else for (const event of said) summary.add(event);
    this.#gathering.set(sessionId, summary);
    this.#bytes += summary.size - before;
    this.#timer ??= setTimeout(() => void this.flush(), this.#options.stretch ?? STRETCH).unref();
  }

  /** Whether rows were dropped that only a rebuild brings back. */
  get rebuildDue(): boolean {
    return this.#everythingDue || this.#due.size > 0;
  }

  /** Writes what was gathered. Resolves when that was tried; what failed is tried again later. */
  async flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null;
    });
    await this.#writing;
    if (!this.#closed && (this.#unwritten.length > 0 || this.#gathering.size > 0)) {
      this.#timer ??= setTimeout(() => void this.flush(), this.#options.stretch ?? STRETCH).unref();
    }
  }

  /** Rebuilds the sessions whose rows were dropped and that have ended since. */
  async repair(): Promise<void> {
    if (!this.rebuildDue || this.#failing) return;
    if (this.#everythingDue) {
      this.#everythingDue = false;
      this.#due.clear();
      await rebuildIndex(this.#options.pool).catch((thrown) => {
        this.#everythingDue = true;
        throw thrown;
      });
      return;
    }
    const { rows } = await this.#options.pool.query<{ id: string }>(
      `select id from sessions where id = any($1) and ended_at < now() - interval '10 seconds'`,
      [[...this.#due]],
    );
    for (const { id } of rows) {
      await rebuildIndex(this.#options.pool, { session: id });
      this.#due.delete(id);
    }
  }

  /** Writes the rest and stops. What cannot be written now is found again by a rebuild. */
  async close(): Promise<void> {
    await this.#writing;
    await this.flush();
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#unwritten.length > 0) this.#options.log.warn('index rows were not written; run `daypass index rebuild`');
  }

  async #write(): Promise<void> {
    if (this.#unwritten.length === 0) {
      this.#unwritten = [...this.#gathering.values()].map((summary) => summary.row());
      this.#gathering = new Map();
      this.#bytes = 0;
    }
    while (this.#unwritten.length > 0) {
      const some = this.#unwritten.slice(0, ROWS_A_WRITE);
      try {
        await writeIndexRows(this.#options.pool, some);
        this.#failing = false;
        this.#options.written?.(some);
      } catch (thrown) {
        if (!isContentFault(thrown)) return this.#failed(thrown);
        await this.#writeOneByOne(some);
      }
      this.#unwritten.splice(0, some.length);
    }
  }

  async #writeOneByOne(rows: readonly IndexRow[]): Promise<void> {
    for (const row of rows) {
      try {
        await writeIndexRows(this.#options.pool, [row]);
        this.#options.written?.([row]);
      } catch (thrown) {
        this.#options.log.error({ err: messageOf(thrown), session: row.sessionId }, 'a stretch cannot be indexed');
        this.#remember(row.sessionId);
      }
    }
  }

  #failed(thrown: unknown): void {
    if (!this.#failing)
      this.#options.log.warn({ err: messageOf(thrown) }, 'the index cannot be written; it is tried again');
    this.#failing = true;
  }

  #drop(sessionId: string): void {
    if (!this.rebuildDue) {
      this.#options.log.warn('the index falls behind; rows are dropped and will be rebuilt from the blocks');
    }
    this.#remember(sessionId);
  }

  #remember(sessionId: string): void {
    if (this.#due.size < MOST_DUE) this.#due.add(sessionId);
    else this.#everythingDue = true;
  }
}

/** What one block says: its events, or of more than a few what they come to. */
type Said = readonly RecordedEvent[] | Summary;

/** So many events are kept as they are: most blocks have no more, and a summary of their own costs more than they do. */
const FEW = 16;

/** Hears the events of one block. */
class Hearer implements Hearing {
  readonly #sessionId: string;
  readonly #gather: (said: Said) => void;
  #few: RecordedEvent[] = [];
  #summary: Summary | null = null;

  constructor(sessionId: string, gather: (said: Said) => void) {
    this.#sessionId = sessionId;
    this.#gather = gather;
  }

  hear(event: RecordedEvent): void {
    if (this.#summary !== null) return this.#summary.add(event);
    this.#few.push(event);
    if (this.#few.length > FEW) this.#sumUp(event);
  }

  moved(by: number): void {
    this.#summary?.move(by);
    this.#few = this.#few.map((event) => ({ ...event, seq: event.seq + by }));
  }

  over(committed: boolean): void {
    if (committed) this.#gather(this.#summary ?? this.#few);
  }

  #sumUp(event: RecordedEvent): void {
    const summary = new Summary(this.#sessionId, this.#few[0] ?? event);
    for (const one of this.#few) summary.add(one);
    this.#summary = summary;
    this.#few = [];
  }
}
