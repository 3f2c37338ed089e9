import type { BodyReceiver } from './client/request.js';
import type { Kept } from './reading.js';

/** What a guard can do to the body that it looks at. */
export interface Guarded {
  /** No more than this goes on, bytes. */
  narrow(most: number): void;
  /** Nothing more of it goes on. */
  fail(error: Error): void;
}

/** Looks at a body before it goes on. */
export interface BodyGuard {
  /**
   * Hears the next bytes; of a body in chunks the last of all are none.
   * @param go - called later, where they may not go on at once; never, where they may not at all
   * @returns whether they may go on at once
   */
  hear(bytes: Buffer, isLast: boolean, body: Guarded, go: () => void): boolean;
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
  /** The first of it waits for the guard. */
  #isWaiting = false;
  #hasEnded = false;
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
    if (!this.#isWaiting) this.#goOn();
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

  #goOn(): void {
    while (!this.#isOver && (this.#here.length > 0 || this.#hasEnded)) {
      this.#isWaiting = !this.#hear();
      if (this.#isWaiting) return this.#source.pause();
      this.#pass();
    }
  }

  #hear(): boolean {
    const bytes = this.#here[0]?.bytes ?? NOTHING;
    this.#heard += bytes.byteLength;
    const isLast = this.#here.length === 0 || this.#heard === this.#source.length;
    return this.#guard.hear(bytes, isLast, this, () => this.#letGo());
  }

  /** What waited may go on. */
  #letGo(): void {
    if (this.#isOver || !this.#isWaiting) return;
    this.#isWaiting = false;
    this.#source.resume();
    this.#pass(); // whoever takes it may stop the source again
    this.#goOn();
  }

  #pass(): void {
    const chunk = this.#here.shift();
    if (chunk !== undefined) return this.#body.data(chunk);
    this.#isOver = true;
    this.#body.end();
  }
}
