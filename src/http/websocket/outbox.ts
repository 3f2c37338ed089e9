import type { Duplex } from 'node:stream';
import type { Passage } from '../../gate/passage.js';
import type { HttpAction } from '../action.js';

/**
 * A client's frames on their way to the service: each goes on once its record is safe, and what came together, or waited for
 * one commit, goes on in one write.
 */
export class Outbox {
  readonly #passage: Passage<HttpAction>;
  readonly #upstream: Duplex;
  readonly #moved: () => void;
  /** How many wait for their record. */
  #waiting = 0;
  /** Those that may go on. */
  #ready: Buffer[] = [];
  #gathering = false;
  #closed = false;
  /** How many were given to the service's connection, and of these, how many that gave to the system. */
  handed = 0;
  passed = 0;

  /** @param moved - called whenever one waits no more */
  constructor(passage: Passage<HttpAction>, upstream: Duplex, moved: () => void) {
    this.#passage = passage;
    this.#upstream = upstream;
    this.#moved = moved;
  }

  /** Whether nothing waits for its record. */
  get isSafe(): boolean {
    return this.#waiting === 0;
  }

  /** Whether nothing waits for the service, either: then more may come. */
  get isClear(): boolean {
    return this.#waiting === 0 && !this.#upstream.writableNeedDrain;
  }

  /** Calls `go` once all that was proposed so far is recorded: at once, where nothing has to be waited for. */
  release(go: () => void): void {
    this.#waiting += 1;
    this.#passage.release(() => {
      this.#waiting -= 1;
      if (!this.#closed) go();
      this.#moved();
    });
  }

  /** Of what is let go while more is read `flush` sends all; of what waits for a commit the last one does. */
  send(frame: Buffer): void {
    this.#ready.push(frame);
    if (!this.#gathering && this.#waiting === 0) this.flush();
  }

  /** More frames come in one read: what may go on waits for `flush`. */
  gather(): void {
    this.#gathering = true;
  }

  /** Sends all that may go on. */
  flush(): void {
    this.#gathering = false;
    const frames = this.#ready;
    if (frames.length === 0 || this.#closed) return;
    this.#ready = [];
    if (this.#upstream.writable) this.handed += frames.length;
    if (frames.length > 1) this.#upstream.cork();
    for (const frame of frames) this.#upstream.write(frame, this.#passed);
    if (frames.length > 1) this.#upstream.uncork();
  }

  readonly #passed = (error?: Error | null) => {
    if (!error) this.passed += 1;
  };

  /** Nothing more goes on. */
  close(): void {
    this.#closed = true;
  }
}
