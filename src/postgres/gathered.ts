import type { Socket } from 'node:net';

/** Writes to a socket. What comes in one turn behind the first of it goes in one write: of thousands of messages each would be one of its own. */
export class Gathered {
  readonly #socket: Socket;
  #inTurn = 0;
  readonly #endTurn = (): void => {
    if (this.#inTurn > 1) this.#socket.uncork();
    this.#inTurn = 0;
  };

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** @returns false when the socket asks for a pause */
  write(bytes: Buffer): boolean {
    this.#inTurn += 1;
    if (this.#inTurn === 1) process.nextTick(this.#endTurn);
    else if (this.#inTurn === 2) this.#socket.cork(); // not for the first: one message alone is sooner there without
    return this.#socket.write(bytes);
  }
}
