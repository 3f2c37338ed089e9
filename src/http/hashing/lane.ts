import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type Page, takePage } from '../memory/pages.js';
import type { Kept } from '../memory/reading.js';
import { type Digest, DigestLost } from './digest.js';
import {
  AHEAD,
  AWAITS,
  DIGEST_BYTES,
  DONE,
  GIVEN,
  makeRing,
  type Order,
  ringIn,
  SLEEPS,
  SLOTS,
  STREAMS,
  writeOrder,
} from './ring.js';

/**
 * How long, milliseconds, and how often the other thread is waited for at a time: a thousand times what it should take. In several turns,
 * since a process that was stopped and goes on finds one of them over.
 */
const [PATIENCE, TURNS] = [100, 20];
/** Who was waited for as long as this, milliseconds, is given nothing new for a while: everything else waits meanwhile. */
const SLOW = 50;
const RESTS = 60_000;

/** With so many orders before it a body is hashed sooner here. */
const MOST_BEHIND = 8;

/** Another thread that hashes long bodies, and what it was given. It keeps no process from ending. */
export class Lane {
  readonly #worker: Worker;
  readonly #ring;
  readonly #streams = Array.from({ length: STREAMS }, (_, stream) => stream);
  /** What the other thread knows each page by. */
  readonly #slots: (Page | null)[] = Array.from({ length: SLOTS }, () => null);
  #nextSlot = 0;
  /** Pages that are to be hashed, the first first. */
  #waiting: { readonly count: number; readonly page: Page }[] = [];
  #given;
  #isReady = false;
  /** Until when nothing new is begun; milliseconds as `performance.now()` counts them. */
  #restsUntil = 0;
  isBroken = false;

  /**
   * @param count - what the counts of orders begin with, 32 bits
   * @throws where threads cannot be had
   */
  constructor(count = 0) {
    const shared = makeRing(count);
    this.#ring = ringIn(shared);
    this.#given = count;
    this.#worker = new Worker(new URL('./thread.js', import.meta.url), { workerData: shared, execArgv: [] });
    this.#worker.unref();
    // By its own word: it is online before what the environment has every thread load, and that is not waited for.
    this.#worker.once('message', () => (this.#isReady = true));
    this.#worker.on('error', () => this.#break());
    this.#worker.once('exit', () => this.#break());
  }

  /** Null while the thread starts, when it has ended, when too much is under way, when it is behind, and after it was slow. */
  begin(): LongDigest | null {
    this.#release();
    const stream = this.#isFree ? this.#streams.pop() : undefined;
    return stream === undefined ? null : new LongDigest(this, stream);
  }

  /** Ends the thread: what is under way has no digest. */
  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  /** @throws DigestLost */
  update(stream: number, page: Page, from: number, to: number): void {
    const slot = this.#slotOf(page);
    page.hold();
    const count = this.#give({ operation: 'update', stream, slot, from, to });
    this.#waiting.push({ count, page });
    this.#release();
  }

  /** Nothing more comes of a stream. @returns what `digest` is to be asked with. @throws DigestLost */
  end(stream: number): number {
    return this.#give({ operation: 'digest', stream, slot: 0, from: 0, to: 0 });
  }

  /**
   * The digest of all that a stream was given, which is free again then.
   * @param ended - what `end` answered
   * @throws DigestLost
   */
  digest(stream: number, ended: number): string {
    this.#await(ended);
    this.#release();
    this.#streams.push(stream);
    const at = stream * DIGEST_BYTES;
    return this.#ring.digests.toString('hex', at, at + DIGEST_BYTES);
  }

  /** Whether `digest` waits for nobody. */
  isDone(ended: number): boolean {
    return this.isBroken || ((Atomics.load(this.#ring.words, DONE) - ended) | 0) >= 0;
  }

  get #isFree(): boolean {
    if (!this.#isReady || this.isBroken || this.#behind >= MOST_BEHIND) return false;
    return this.#restsUntil === 0 || performance.now() > this.#restsUntil;
  }

  /** How many orders are not carried out yet. */
  get #behind(): number {
    return (this.#given - Atomics.load(this.#ring.words, DONE)) | 0;
  }

  /** Pages the other thread does not know yet are told of, in the place of those that it was told of longest ago. */
  #slotOf(page: Page): number {
    const known = this.#slots.indexOf(page);
    if (known !== -1) return known;
    const slot = this.#nextSlot;
    this.#nextSlot = (slot + 1) % SLOTS;
    this.#slots[slot] = page;
    this.#worker.postMessage(page.memory);
    this.#give({ operation: 'load', stream: 0, slot, from: 0, to: 0 });
    return slot;
  }

  /** @returns how many orders were given before and with it */
  #give(order: Order): number {
    this.#await((this.#given - AHEAD + 1) | 0);
    writeOrder(this.#ring, this.#given, order);
    this.#given = (this.#given + 1) | 0;
    Atomics.store(this.#ring.words, GIVEN, this.#given);
    if (Atomics.load(this.#ring.words, SLEEPS) === 1) Atomics.notify(this.#ring.words, GIVEN);
    return this.#given;
  }

  /** Waits until so many orders were carried out: what this thread would have had to hash itself takes no longer. */
  #await(count: number): void {
    if (((Atomics.load(this.#ring.words, DONE) - count) | 0) >= 0) return;
    const from = performance.now();
    Atomics.store(this.#ring.words, AWAITS, 1);
    this.#insist(count);
    Atomics.store(this.#ring.words, AWAITS, 0);
    const now = performance.now();
    if (now - from >= SLOW) this.#restsUntil = now + RESTS;
  }

  #insist(count: number): void {
    const { words } = this.#ring;
    let waited = 0;
    for (let done = Atomics.load(words, DONE); ((done - count) | 0) < 0; done = Atomics.load(words, DONE)) {
      if (this.isBroken || waited >= TURNS * PATIENCE) {
        this.#break();
        throw new DigestLost();
      }
      const from = performance.now();
      Atomics.wait(words, DONE, done, PATIENCE);
      waited += Math.min(PATIENCE, performance.now() - from);
    }
  }

  #release(): void {
    const done = Atomics.load(this.#ring.words, DONE);
    let count = 0;
    for (const one of this.#waiting) {
      if (((done - one.count) | 0) < 0) break;
      one.page.release();
      count += 1;
    }
    this.#waiting.splice(0, count);
  }

  /** What it holds is not read into again. */
  #break(): void {
    this.isBroken = true;
    this.#waiting = [];
    void this.#worker.terminate();
  }
}

/** A digest that another thread works out. */
export class LongDigest implements Digest {
  readonly #lane: Lane;
  readonly #stream: number;
  /** Pieces that stand in no page, put together. */
  #gathered: Page | null = null;
  #gatheredBytes = 0;
  /** What the lane is to be asked with for the digest; null before the end. */
  #ended: number | null = null;

  /** For `Lane.begin` alone. */
  constructor(lane: Lane, stream: number) {
    this.#lane = lane;
    this.#stream = stream;
  }

  /** Those in a page are held there until they are hashed; others are not needed afterwards. @throws DigestLost */
  update({ bytes, page }: Kept): void {
    if (page === null) return this.#gather(bytes);
    this.#hashGathered();
    const from = bytes.byteOffset - page.bytes.byteOffset;
    this.#lane.update(this.#stream, page, from, from + bytes.byteLength);
  }

  /** @throws DigestLost */
  end(): void {
    if (this.#ended !== null) return;
    this.#hashGathered();
    this.#ended = this.#lane.end(this.#stream);
  }

  /** Of everything, in hex; null when it does not come. To be asked once: its stream is another's then. */
  hex(): string | null {
    try {
      this.end();
      return this.#ended === null ? null : this.#lane.digest(this.#stream, this.#ended);
    } catch {
      return null;
    }
  }

  /** Whether `hex` waits for nobody. */
  get isThere(): boolean {
    return this.#ended !== null && this.#lane.isDone(this.#ended);
  }

  #gather(bytes: Buffer): void {
    for (let from = 0; from < bytes.byteLength; ) {
      this.#gathered ??= takePage();
      const copied = bytes.copy(this.#gathered.bytes, this.#gatheredBytes, from);
      this.#gatheredBytes += copied;
      from += copied;
      if (this.#gatheredBytes === this.#gathered.bytes.byteLength) this.#hashGathered();
    }
  }

  #hashGathered(): void {
    if (this.#gathered === null) return;
    this.#lane.update(this.#stream, this.#gathered, 0, this.#gatheredBytes);
    this.#gathered.release();
    this.#gathered = null;
    this.#gatheredBytes = 0;
  }
}

/** Asked once: the system is asked each time, and answers the same. */
const HAS_CORES = availableParallelism() > 1;

/** Bodies from here on are worth the way to another thread, bytes. */
export const LONG = 1024 * 1024;
/** The same where nobody waits for the digest at once. Less than this of a page is copied (`Reading.keep`). */
export const LONG_LATER = 32 * 1024;

let lane: Lane | null = null;
/** When another one may be begun after one broke; milliseconds as `performance.now()` counts them. */
let nextAt = 0;

/**
 * For what is said to be so long; null when it is as well hashed here.
 * @param length - bytes; null while nobody says
 * @param from - what is long, bytes
 */
export function longDigest(length: number | null, from: number): LongDigest | null {
  if (length === null || length < from || !HAS_CORES) return null;
  if (lane?.isBroken === true) {
    lane = null;
    nextAt = performance.now() + RESTS;
  }
  if (lane === null && performance.now() >= nextAt) lane = newLane();
  return lane?.begin() ?? null;
}

/** Null where threads cannot be had: their number is limited, or Node's permissions are without them. */
function newLane(): Lane | null {
  try {
    return new Lane();
  } catch {
    return null;
  }
}
