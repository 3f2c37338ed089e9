import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { Metrics } from '../metrics.js';
import { unpackBlock } from './block.js';
import { decodeEvent } from './chain.js';
import { batchOf, counted, type Due, dueOf, rowOf, type Taken } from './due.js';
import { Encoding, GIVE_WAY_STEP } from './encoding.js';
import { isContentFault } from './faults.js';
import { type Hearing, type Listen, listenAll } from './hearing.js';
import { Lines } from './lines.js';
import { SessionLog, type SessionRow, type Sink } from './log.js';
import { Room } from './room.js';
import type { Stretch } from './stretch.js';
import { type Head, readHeads, writeBatch } from './writer.js';

export interface RecorderOptions {
  readonly pool: Pool;
  readonly gatewayId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Who hears of events, and what becomes of them; nobody unless given. */
  readonly listen?: Listen;
  /** Of its own, which nobody scrapes, when not given. */
  readonly metrics?: Metrics;
  /** How long a session may wait for its record before it is cut, milliseconds. */
  readonly stallAfter?: number;
  /** How much may be queued before buffered sessions wait, bytes. */
  readonly bufferBytes?: number;
}

const STALL_AFTER = 5_000;
const BUFFER_BYTES = 64 * 1024 * 1024;
/** Buffered events are written at least this often, milliseconds. */
const BUFFERED_FLUSH = 100;
/** With more than this queued, bytes, they are written at once: what waits is carried along by each collection of the young. */
const MANY_BYTES = 512 * 1024;
/** How long a batch gives way to what is more urgent, at the most, milliseconds. */
const GIVE_WAY = 200;
const RETRY_FIRST = 50;
const RETRY_MOST = 1_000;

/**
 * Writes the logs of all sessions of this gateway. One commit is under way at a time and takes what became due meanwhile (group
 * commit), so a busy gateway commits rarely and a quiet one at once. Of one session, of one person, and of all, it takes so much: nobody
 * waits until all of somebody else's is packed.
 *
 * A batch that fails for want of a connection is written again, unchanged, until it succeeds: nothing is lost while the
 * process lives. One that fails for its content is written session by session, so that one bad event cannot fail
 * another session's.
 */
export class Recorder implements Sink {
  readonly #options: RecorderOptions;
  readonly #metrics: Metrics;
  readonly #encoding = new Encoding(() => this.pressed());
  readonly #listen: Listen;
  readonly #dirty = new Lines();
  readonly #waiting = new Set<SessionLog>();
  readonly #stallTimer: NodeJS.Timeout;
  #flushTimer: NodeJS.Timeout | null = null;
  #flushing: Promise<void> | null = null;
  readonly #room: Room;
  /** With more than this queued, bytes, it is written at once. */
  readonly #many: number;
  #closed = false;
  /** Whether something more urgent than writing is late; asked before each batch. */
  pressed: () => boolean = () => false;
  /** Whether the last write succeeded. */
  healthy = true;

  constructor(options: RecorderOptions) {
    this.#options = options;
    const { bufferBytes = BUFFER_BYTES } = options;
    this.#room = new Room(bufferBytes);
    this.#many = Math.min(MANY_BYTES, bufferBytes / 4);
    this.#metrics = options.metrics ?? new Metrics();
    this.#listen = options.listen ?? listenAll([]);
    this.#stallTimer = setInterval(() => this.#endStalled(), 100);
    this.#stallTimer.unref();
  }

  /** Begins a session's recording; its row is written with its first events. */
  open(row: SessionRow): SessionLog {
    return new SessionLog(row, this);
  }

  dirty(log: SessionLog, urgent: boolean): void {
    this.#dirty.add(log);
    if (log.hasMany) this.#encoding.soon(log);
    if (log.waiting) this.#waiting.add(log);
    if (urgent || this.#room.bytes > this.#many) this.#flushSoon();
    else this.#flushLater();
  }

  get gatewayId(): string {
    return this.#options.gatewayId;
  }

  hasRoom(person: string): boolean {
    return this.#room.has(person);
  }

  queued(person: string, bytes: number): void {
    this.#room.count(person, bytes);
  }

  listen(sessionId: string): Hearing {
    return this.#listen(sessionId);
  }

  monotonic(): number {
    return this.#options.clock.monotonic();
  }

  wall(): number {
    return this.#options.clock.wall();
  }

  /** Bytes that wait to be written, roughly. */
  get queuedBytes(): number {
    return this.#room.bytes;
  }

  /**
   * Writes everything that is queued.
   * @param within - milliseconds to try for
   * @returns whether all was written
   */
  async drain(within: number): Promise<boolean> {
    const deadline = this.monotonic() + within;
    while (!this.#dirty.isEmpty || this.#flushing !== null) {
      if (this.#closed) return false;
      const left = deadline - this.monotonic();
      if (left <= 0) return false;
      this.#flushNow();
      await Promise.race([this.#flushing, new Promise((resolve) => setTimeout(resolve, left).unref())]);
    }
    return true;
  }

  /** Stops the timers; what is still queued is given up. Call `drain` before. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#stallTimer);
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
  }

  /** One turn of the event loop later, so that everything decided in this turn shares the commit. */
  #flushSoon(): void {
    if (this.#flushing !== null || this.#closed) return;
    this.#flushing = this.#turn().then(() => this.#flush());
  }

  /** The next turn of the event loop, or a later one while cuts are late: packing a batch would hold them up. */
  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    for (let left = GIVE_WAY; left > 0 && this.pressed(); left -= GIVE_WAY_STEP)
      await new Promise((resolve) => setTimeout(resolve, GIVE_WAY_STEP));
  }

  #flushLater(): void {
    if (this.#flushTimer === null) this.#flushTimer = setTimeout(() => this.#flushNow(), BUFFERED_FLUSH);
  }

  #flushNow(): void {
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    this.#flushTimer = null;
    this.#flushSoon();
  }

  async #flush(): Promise<void> {
    const { taken, isAll } = await this.#take();
    if (taken.length > 0) await this.#write(taken);
    this.#flushing = null;
    for (const log of this.#waiting) {
      if (log.row.mode === 'buffered') this.#guard(log, () => log.wake());
      if (!log.waiting) this.#waiting.delete(log);
    }
    if (!this.#dirty.isEmpty) {
      if (this.#waiting.size > 0 || !isAll) this.#flushSoon();
      else this.#flushLater();
    }
  }

  async #take(): Promise<{ readonly taken: readonly Taken[]; readonly isAll: boolean }> {
    const due = this.#dirty.take();
    let isAll = this.#dirty.isEmpty;
    for (const { log } of due) {
      if (!log.hasPending) continue;
      this.#dirty.add(log); // behind the others
      isAll = false;
    }
    const taken: Taken[] = [];
    for (const one of due) taken.push(await this.#pack(one));
    return { taken, isAll };
  }

  /** Packs what a log has to write. What cannot be put into a block is lost to a gap, which is packed instead. */
  async #pack(due: Due): Promise<Taken> {
    const { log, taken } = due;
    try {
      const block = taken === null ? null : await this.#encoding.close(log, taken.stretch, taken.before);
      return { log, stretch: taken?.stretch ?? null, block, row: rowOf(due, block) };
    } catch (thrown) {
      if (due.rowDue) log.rowWritten = false;
      this.#lose(log, taken?.stretch ?? null, thrown);
      return this.#pack(dueOf(log));
    }
  }

  async #write(taken: readonly Taken[]): Promise<void> {
    let pause = RETRY_FIRST;
    for (;;) {
      const from = this.monotonic();
      try {
        const conflicts = await writeBatch(this.#options.pool, this.#options.gatewayId, batchOf(taken));
        const heads = await readHeads(this.#options.pool, [...conflicts]);
        this.healthy = true;
        this.#metrics.committed({ milliseconds: this.monotonic() - from, ...counted(taken) });
        return this.#settle(taken, conflicts, heads);
      } catch (thrown) {
        this.#metrics.commitFailed();
        if (isContentFault(thrown)) return this.#writeOneByOne(taken, thrown);
        if (this.healthy)
          this.#options.log.error({ err: messageOf(thrown) }, 'recording to Postgres fails; sessions wait');
        this.healthy = false;
        if (this.#closed) return;
        await new Promise((resolve) => setTimeout(resolve, pause));
        pause = Math.min(pause * 2, RETRY_MOST);
      }
    }
  }

  async #writeOneByOne(taken: readonly Taken[], thrown: unknown): Promise<void> {
    const [first] = taken;
    if (taken.length === 1 && first !== undefined) {
      if (first.row !== null) first.log.rowWritten = false;
      this.#lose(first.log, first.stretch, thrown);
      return;
    }
    for (const one of taken) await this.#write([one]);
  }

  /** A log's events cannot be written as they are: a gap takes their place, and the session is cut. */
  #lose(log: SessionLog, stretch: Stretch | null, thrown: unknown): void {
    this.#options.log.error({ err: messageOf(thrown), session: log.row.id }, 'a session cannot be recorded; it is cut');
    stretch?.lost();
    log.fail(messageOf(thrown));
  }

  /** Nothing in here may throw: what is committed must not be taken for failed. */
  #settle(taken: readonly Taken[], conflicts: ReadonlySet<string>, heads: ReadonlyMap<string, Head>): void {
    for (const one of taken) {
      if (conflicts.has(one.log.row.id)) this.#afterForeignBlock(one, heads.get(one.log.row.id));
      else this.#guard(one.log, () => this.#commit(one));
    }
  }

  /** Another gateway took this session for lost and closed it: our events are appended behind its own. */
  #afterForeignBlock({ log, stretch, block }: Taken, head: Head | undefined): void {
    if (head === undefined || stretch === null || block === null || head.lastSeq < block.firstSeq) {
      this.#lose(log, stretch, new Error('another block stands in the place of this one'));
      return;
    }
    this.#options.log.warn({ session: log.row.id }, 'another gateway had closed this session as interrupted');
    try {
      const events = unpackBlock(block.payload, block.format).map(decodeEvent);
      // Before the events move: what the cut adds points at them, and moves with them.
      log.onStall();
      log.continueBehind(head, stretch, events);
      this.#dirty.add(log);
    } catch (thrown) {
      this.#lose(log, stretch, thrown); // it alone: the others of the batch are committed
    }
  }

  /** What waits for a commit is others' code: when it throws, its session is cut and the rest goes on. */
  #guard(log: SessionLog, step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.#options.log.error(
        { err: thrown, session: log.row.id },
        'what waited for the record failed; the session is cut',
      );
      log.onStall();
    }
  }

  #commit({ log, stretch, block }: Taken): void {
    if (block === null) return;
    try {
      log.committed(block.lastSeq, block.hashAfter);
      if (!log.waiting) this.#waiting.delete(log);
    } finally {
      stretch?.committed(); // whatever those do who waited for it
    }
  }

  #endStalled(): void {
    const limit = this.monotonic() - (this.#options.stallAfter ?? STALL_AFTER);
    for (const log of this.#waiting) {
      const since = log.waitingSince;
      if (since === null) this.#waiting.delete(log);
      else if (since <= limit) {
        this.#waiting.delete(log);
        log.onStall();
      }
    }
  }
}
