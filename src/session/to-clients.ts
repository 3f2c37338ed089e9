import type { Writable } from 'node:stream';
import { type Holder, holdWrites } from './held-writes.js';

/** How long a session lasts. */
export interface Lasting extends Holder {
  /** Whether what may pass now still may at the end of this turn of the event loop. */
  readonly lastsTurn: boolean;
}

/** The one way of upstream-origin bytes to a session's clients, heads of answers included. */
export class ToClients {
  readonly #session: Lasting;
  /** Given in writes that were not over when the end came. */
  bytesAfterDue = 0;

  constructor(session: Lasting) {
    this.#session = session;
  }

  /**
   * Gives bytes to a client's socket, if the session may still pass anything.
   * @returns false when the socket asks for a pause, or nothing was written
   */
  deliver(client: Pick<Writable, 'write'>, chunk: Uint8Array): boolean {
    return this.give(chunk.byteLength, () => client.write(chunk));
  }

  /**
   * The deadline is asked before the bytes are given, and again after: those of a write that was not over when the end came are in the
   * receipt, as given after it. What the system had been given before, and sends later, is not: the cut takes it back where it can
   * (`letGo`).
   * @param bytes - how many `write` gives
   * @returns false when `write` asks for a pause, or was not called
   */
  give(bytes: number, write: () => boolean): boolean {
    if (!this.#session.isLive()) return false;
    const flowing = write();
    if (this.#session.isOver) this.bytesAfterDue += bytes;
    return flowing;
  }

  /** As `deliver`, of bytes that may go at the end of this turn of the event loop, with what others are given in it. */
  deliverInTurn(client: Writable, chunk: Uint8Array): boolean {
    const session = this.#session;
    const isHeld = session.lastsTurn && holdWrites(client, chunk.byteLength, session, this.#gone);
    return isHeld ? client.write(chunk) : this.deliver(client, chunk);
  }

  readonly #gone = (bytes: number): void => {
    if (this.#session.isOver) this.bytesAfterDue += bytes;
  };
}
