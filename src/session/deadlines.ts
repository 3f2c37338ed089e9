import { type Clock, wallAhead } from '../clock.js';
import { Queue } from '../queue.js';

/** Something that ends at an instant. The three fields after the first belong to the heap. */
export interface Due {
  /** Wall-clock end, milliseconds since the epoch. Change it only through `Deadlines.move`. */
  expiresAt: number;
  /** The same end on the monotonic clock, set when the deadline is armed or moved. */
  dueMonotonic: number;
  /** What the heap is ordered by: the earlier of the two ends, on the monotonic clock as it stands to the wall clock now. */
  key: number;
  /** Its place in the heap; -1 when it is not in it. */
  place: number;
  /**
   * Called once, when the end has come. Must not throw. What may wait until all that have come are served and their
   * sockets have had a turn (writing a receipt, say) is answered, and called then.
   */
  expire(): (() => void) | undefined;
}

/** The longest a timer sleeps: a clock that was stepped is noticed at the latest then. */
const LONGEST_SLEEP = 3_600_000;
/**
 * How long ends are served before the event loop gets a turn, milliseconds. Long, since a turn amid a thousand cuts goes to
 * their sockets' closing and to writing their receipts: what is overdue comes first.
 */
const SLICE = 500;
/** How many of the things that may wait are done before the event loop gets a turn. */
const REST = 64;
/** Milliseconds. */
const LATE = 5;
/** How far the wall clock must have been stepped, or slewed, for the heap to be put in order again, milliseconds. */
const STEP = 20;

/**
 * All deadlines of the process: one binary heap, one timer. A deadline has come at the earlier of the wall clock reaching
 * `expiresAt` and the monotonic clock reaching the instant that was computed when it was armed; so neither a clock that is
 * set back nor one that is set forward lengthens a grant.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #heap: Due[] = [];
  readonly #rest = new Queue<() => void>();
  #timer: NodeJS.Timeout | null = null;
  #armedFor = Number.POSITIVE_INFINITY;
  /** Until when what is known of grants counts, on the monotonic clock. */
  knownUntil = Number.POSITIVE_INFINITY;
  /** Wall clock less monotonic clock, as the heap was ordered by. */
  #offset: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offset = wallAhead(clock);
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Adds a deadline, or moves one that is in the heap to a new wall-clock end. */
  move(due: Due, expiresAt: number): void {
    due.expiresAt = expiresAt;
    due.dueMonotonic = expiresAt - wallAhead(this.#clock);
    due.key = Math.min(due.dueMonotonic, expiresAt - this.#offset);
    if (due.place === -1) {
      due.place = this.#heap.length;
      this.#heap.push(due);
    }
    this.#sink(this.#rise(due.place));
    this.#arm();
  }

  /** Takes a deadline out; harmless when it is not in. */
  remove(due: Due): void {
    const { place } = due;
    if (place === -1) return;
    due.place = -1;
    const last = this.#heap.pop()!;
    if (last === due) return;
    this.#put(last, place);
    this.#sink(this.#rise(place));
  }

  /** Whether an end is overdue by more than a turn of the event loop usually takes: others give way then. */
  get pressed(): boolean {
    const head = this.#heap[0];
    return this.#rest.size > 0 || (head !== undefined && this.#clock.monotonic() - head.key > LATE);
  }

  /** Whether a deadline has come, by either clock. @param within - or comes within so many milliseconds */
  isOver(due: Due, within = 0): boolean {
    return this.#clock.wall() + within >= due.expiresAt || this.#clock.monotonic() + within >= due.dueMonotonic;
  }

  /** Whether the process slept for so long that it does not know which grants were revoked meanwhile. */
  get isUnknown(): boolean {
    return this.#clock.monotonic() >= this.knownUntil;
  }

  /** Whether something may pass before this deadline: neither has it come, nor is it unknown. @param within - as for `isOver` */
  mayPass(due: Due, within = 0): boolean {
    const now = this.#clock.monotonic() + within;
    return now < due.dueMonotonic && now < this.knownUntil && this.#clock.wall() + within < due.expiresAt;
  }

  /**
   * Serves every deadline that has come. Called by the timer, and whenever a clock may have been stepped.
   * @throws the first of what the deadlines' own ends threw, when all that had come are served
   */
  serve(): void {
    this.#follow();
    const until = this.#clock.monotonic() + SLICE;
    const next = () => {
      const head = this.#heap[0];
      if (head === undefined || !this.isOver(head)) return undefined;
      this.remove(head);
      return () => {
        const later = head.expire();
        if (later !== undefined) this.#rest.push(later);
      };
    };
    try {
      callEach(next, () => this.#clock.monotonic() < until);
    } finally {
      if (this.#rest.size > 0) setImmediate(() => this.#finish(REST));
      this.#armedFor = Number.POSITIVE_INFINITY;
      this.#arm();
    }
  }

  /** Does what could wait, at most so many at a time: the sockets that were ended meanwhile get their turns in between. */
  #finish(most: number): void {
    let left = most;
    try {
      callEach(
        () => this.#rest.shift(),
        () => --left > 0,
      );
    } finally {
      if (this.#rest.size > 0) setImmediate(() => this.#finish(REST));
    }
  }

  /** After a step of the wall clock the ends armed before it and after it no longer stand in one order. */
  #follow(): void {
    const offset = wallAhead(this.#clock);
    if (Math.abs(offset - this.#offset) < STEP) return;
    this.#offset = offset;
    for (const due of this.#heap) due.key = Math.min(due.dueMonotonic, due.expiresAt - offset);
    this.#heap.sort((one, other) => one.key - other.key);
    for (const [place, due] of this.#heap.entries()) due.place = place;
  }

  /** Stops the timer, and does at once what was to wait; deadlines stay readable. */
  stop(): void {
    this.#finish(Number.POSITIVE_INFINITY);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #arm(): void {
    const head = this.#heap[0];
    if (head === undefined || head.key >= this.#armedFor) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const left = Math.min(head.dueMonotonic - this.#clock.monotonic(), head.expiresAt - this.#clock.wall());
    this.#armedFor = head.key;
    this.#timer = setTimeout(() => this.serve(), Math.min(Math.max(Math.ceil(left), 0), LONGEST_SLEEP));
  }

  #rise(from: number): number {
    let place = from;
    const due = this.#heap[place]!;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const other = this.#heap[above]!;
      if (other.key <= due.key) break;
      this.#put(other, place);
      place = above;
    }
    this.#put(due, place);
    return place;
  }

  #sink(from: number): void {
    let place = from;
    const due = this.#heap[place]!;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= this.#heap.length) break;
      if (below + 1 < this.#heap.length && this.#heap[below + 1]!.key < this.#heap[below]!.key) below += 1;
      const other = this.#heap[below]!;
      if (other.key >= due.key) break;
      this.#put(other, place);
      place = below;
    }
    this.#put(due, place);
  }

  #put(due: Due, place: number): void {
    this.#heap[place] = due;
    due.place = place;
  }
}

/**
 * Calls one after the other, as long as there is a next and `goOn` says so; one that throws keeps none of the others back.
 * @throws the first of what they threw
 */
function callEach(next: () => (() => void) | undefined, goOn: () => boolean): void {
  const thrown: unknown[] = [];
  do {
    const step = next();
    if (step === undefined) break;
    try {
      step();
    } catch (error) {
      thrown.push(error);
    }
  } while (goOn());
  if (thrown.length > 0) throw thrown[0];
}
