import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** How many requests may wait behind one another on a connection. */
const MOST_WAITING = 64;

/**
 * The order of one connection. Node hands out pipelined requests as they are parsed, and an upgrade as soon as it is read;
 * each is served only when what came before it on its connection has been answered.
 */
export class Turns {
  readonly #waiting = new WeakMap<Duplex, (() => void)[]>();
  readonly #answers = new WeakMap<Duplex, ServerResponse>();

  /** Whether an answer is still owed on this connection. */
  isTaken(socket: Duplex): boolean {
    return this.#waiting.has(socket);
  }

  /** Whether the last answer of this connection has been given: what still comes on it is no request any more. */
  isOver(socket: Duplex): boolean {
    const answer = this.#answers.get(socket);
    return socket.writableEnded || (answer?.writableEnded === true && !answer.shouldKeepAlive);
  }

  /**
   * Calls `go` when everything before it on its connection has been answered; at once when nothing is owed.
   * @returns false when too many wait already: `go` is not called then
   */
  take(socket: Duplex, res: ServerResponse, go: () => void): boolean {
    const waiting = this.#waiting.get(socket);
    if (waiting !== undefined && waiting.length >= MOST_WAITING) return false;
    res.once('close', () => this.#next(socket));
    const begin = () => {
      this.#answers.set(socket, res);
      go();
    };
    if (waiting !== undefined) waiting.push(begin);
    else {
      this.#waiting.set(socket, []);
      begin();
    }
    return true;
  }

  /** An answer that ended its connection is the last one: what waits behind it is not served. */
  #next(socket: Duplex): void {
    const go = socket.destroyed || socket.writableEnded ? undefined : this.#waiting.get(socket)?.shift();
    if (go === undefined) this.#waiting.delete(socket);
    else go();
  }
}
