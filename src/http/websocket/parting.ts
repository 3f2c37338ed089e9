import type { Duplex } from 'node:stream';
import { reset } from '../../session/connection.js';
import { closeFrame, type FrameWatch } from './frame-watch.js';

/** How long a client may take to read the last that the system holds for it, and to end its side, milliseconds. */
const LINGERS = 60_000;

/** The last that a client is told, and the end of its connection. */
export class Parting {
  readonly #client: Duplex;
  readonly #watch: FrameWatch;
  #isSaid = false;
  #isLeft = false;

  /** @param watch - of what the service said to this client: a frame cannot stand within another, nor behind a close */
  constructor(client: Duplex, watch: FrameWatch) {
    this.#client = client;
    this.#watch = watch;
  }

  /** Whether a close frame can be said now. */
  get maySay(): boolean {
    return !this.#isSaid && this.#watch.atBoundary && this.#watch.closeCode === null && this.#client.writable;
  }

  /** Says why this ends, where it can be said. @param code - 1005: no code */
  say(code: number, reason: string): void {
    if (!this.maySay) return;
    this.#isSaid = true;
    this.#client.write(closeFrame(code, reason));
  }

  /**
   * Ends our side behind all that was written, and the whole connection when the client has had time for that. Of a client that
   * does not take what was written nothing else is asked: its session's end ends it (`takeBack`).
   */
  leave(): void {
    const client = this.#client;
    if (this.#isLeft || client.destroyed) return;
    this.#isLeft = true;
    client.end(() => {
      const timer = setTimeout(() => reset(client), LINGERS).unref();
      client.once('close', () => clearTimeout(timer));
    });
    client.resume(); // what still comes is thrown away: a connection closed on top of it is reset, and our last words are lost
  }

  /** The session is over: of what was left for the client to read it gets no more, and nothing can be said behind it. */
  takeBack(): void {
    if (this.#isLeft) reset(this.#client);
  }
}
