import type { Duplex } from 'node:stream';
import type { Passage } from '../../gate/passage.js';
import { holdWrites } from '../../session/held-writes.js';
import type { HttpAction } from '../action.js';

/** What hears of how they get on. */
export interface OutboxHeard {
  /** One waits for its record no more. */
  moved(): void;
  /** The service's connection holds less. */
  passed(): void;
}

/**
 * A client's frames on their way to the service: each goes on once its record is safe, and what came together, or waited for
 * one commit, goes on in one write.
 */
export class Outbox {
  readonly #passage: Passage<HttpAction>;
  readonly #upstream: Duplex;
  readonly #heard: OutboxHeard;
  /** How many wait for their record. */
  #waiting = 0;
  /** Those that may go on. */
  #ready: Buffer[] = [];
  #gathering = false;
  #closed = false;
  /** How many were given to the service's connection, and of these, how many that gave to the system. */
  handed = 0;
  passed = 0;
  /** How much of what may go on the system does not have, bytes. */
  bytes = 0;

  constructor(passage: Passage<HttpAction>, upstream: Duplex, heard: OutboxHeard) {
    this.#passage = passage;
    this.#upstream = upstream;
    this.#heard = heard;
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
      this.#heard.moved();
    });
  }

  /** Of what is let go while more is read `flush` sends all; of what waits for a commit the last one does. */
  send(frame: Buffer): void {
    this.#ready.push(frame);
    this.bytes += frame.byteLength;
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
    const { session } = this.#passage;
    const isHeld = session.lastsTurn && holdWrites(this.#upstream, this.bytes, session);
    if (!isHeld) this.#upstream.cork();
    for (const frame of frames) this.#upstream.write(frame, (error) => this.#passed(frame.byteLength, error));
    if (!isHeld) this.#upstream.uncork();
  }

  /** It is with the system, or lost with the service's connection. */
  #passed(bytes: number, error?: Error | null): void {
    if (!error) this.passed += 1;
    this.bytes -= bytes;
    this.#heard.passed();
  }

  /** Nothing more goes on. */
  close(): void {
    this.#closed = true;
    for (const { byteLength } of this.#ready.splice(0)) this.bytes -= byteLength;
  }
}
