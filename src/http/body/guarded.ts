import type { BodyReceiver } from '../client/request.js';
import type { Kept } from '../memory/reading.js';

/** What a guard can do to the body that it looks at. */
export interface Guarded {
  /** No more than this goes on, bytes. */
  narrow(most: number): void;
  /** Nothing more of it goes on. */
  fail(error: Error): void;
}

/** What becomes of all that was heard: it goes on, or waits for more to be heard. */
export type Verdict = 'go' | 'more';

/** Looks at a body before it goes on. */
export interface BodyGuard {
  /**
   * Hears the next bytes, once it has answered for those before; of a body in chunks the last of all are none.
   * @param isLast - no more come: it is not `more` then
   * @param answer - called once, now or later; never for a body that fails, nor after `close`
   */
  hear(bytes: Buffer, isLast: boolean, body: Guarded, answer: (verdict: Verdict) => void): void;
  /** The body is over. */
  close(): void;
}

/** Where a body comes from: its length is what the head of the request says, bytes; null when its chunks do. */
interface Source {
  readonly length: number | null;
  pause(): void;
  resume(): void;
}

const NOTHING = Buffer.alloc(0);

/** A body of which each piece goes on once its guard has heard it, and lets it. */
export class GuardedBody implements BodyReceiver, Guarded {
  readonly #source: Source;
  readonly #guard: BodyGuard;
  readonly #body: BodyReceiver & Guarded;
  /** What has come and not gone on. */
  readonly #here: Kept[] = [];
  /** How many of these the guard has heard. */
  #known = 0;
  /** They wait for the guard. */
  #isWaiting = false;
  #isGoing = false;
  #hasEnded = false;
  #isEndHeard = false;
  #isOver = false;
  /** How much the guard has heard, bytes. */
  #heard = 0;

  constructor(source: Source, guard: BodyGuard, body: BodyReceiver & Guarded) {
    this.#source = source;
    this.#guard = guard;
    this.#body = body;
  }

  data(chunk: Kept): void {
    if (this.#isOver) return chunk.release();
    this.#here.push(chunk);
    if (this.#isWaiting) this.#source.pause();
    else this.#goOn();
  }

  end(): void {
    this.#hasEnded = true;
    this.#goOn();
  }

  narrow(most: number): void {
    this.#body.narrow(most);
  }

  fail(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const chunk of this.#here.splice(0)) chunk.release();
    this.#body.fail(error);
  }

  /** What comes meanwhile (a source that is resumed gives what it has) is for the turn that is under way. */
  #goOn(): void {
    if (this.#isGoing) return;
    this.#isGoing = true;
    while (!this.#isOver && !this.#isWaiting && this.#hasMore) this.#hear();
    this.#isGoing = false;
  }

  get #hasMore(): boolean {
    return this.#known < this.#here.length || (this.#hasEnded && !this.#isEndHeard);
  }

  #hear(): void {
    const next = this.#here[this.#known];
    if (next === undefined) this.#isEndHeard = true;
    else this.#known += 1;
    const { bytes } = next ?? { bytes: NOTHING };
    this.#heard += bytes.byteLength;
    const isLast = this.#isEndHeard || this.#heard === this.#source.length;
    this.#isWaiting = true;
    this.#guard.hear(bytes, isLast, this, (verdict) => this.#answered(verdict));
    if (this.#isWaiting && !this.#isOver) this.#source.pause(); // of one that is over the rest is read, and let go of
  }

  #answered(verdict: Verdict): void {
    if (this.#isOver) return;
    this.#isWaiting = false;
    if (this.#isGoing) {
      if (verdict === 'go') this.#pass();
      return;
    }
    this.#isGoing = true;
    this.#source.resume();
    if (verdict === 'go') this.#pass(); // whoever takes it may stop the source again
    this.#isGoing = false;
    this.#goOn();
  }

  #pass(): void {
    const known = this.#here.splice(0, this.#known);
    this.#known = 0;
    for (const chunk of known) this.#body.data(chunk);
    if (!this.#isEndHeard) return;
    this.#isOver = true;
    this.#body.end();
  }
}
