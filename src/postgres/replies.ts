import type { Socket } from 'node:net';
import { unacceptable } from './upstream-login.js';
import { Parts } from './wire/parts.js';

/** A server says all it has to say before it is ready in far less than this, bytes. */
const MOST_HANDSHAKE = 256 * 1024;

/** Reads a server's messages one by one, bounded in their size and in all: those of a handshake, unless told otherwise. */
export class Replies {
  readonly #socket: Socket;
  readonly #held = new Parts();
  readonly #most: number;
  #left: number;
  #over = false;
  #wake: () => void = () => {};
  readonly #onData = (chunk: Buffer) => {
    this.#held.add(chunk);
    if (this.#held.length > this.#most) this.#socket.pause(); // no message can need more
    this.#wake();
  };
  readonly #onOver = () => {
    this.#over = true;
    this.#wake();
  };

  /** @param most - how much the server may say in all, bytes */
  constructor(socket: Socket, most = MOST_HANDSHAKE) {
    this.#socket = socket;
    this.#most = most;
    this.#left = most;
    socket.on('data', this.#onData);
    for (const event of OVER) socket.on(event, this.#onOver);
  }

  /** One message, with its type and length. */
  async message(): Promise<Buffer> {
    const header = await this.#head(5);
    const length = header.readInt32BE(1);
    // All messages together: neither one of them nor their number can fill the memory.
    this.#left -= length + 1;
    if (length < 4 || this.#left < 0) throw unacceptable('sends more than it may, or an impossible length');
    return this.bytes(length + 1);
  }

  async bytes(size: number): Promise<Buffer> {
    await this.#head(size);
    return this.#held.cut(size);
  }

  /** Stops reading: the socket is paused, and what was received and not read stands in it again. @returns how much that is */
  release(): number {
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    for (const event of OVER) this.#socket.off(event, this.#onOver);
    const left = this.#held.length;
    if (left > 0) this.#socket.unshift(this.#held.take());
    return left;
  }

  /** Waits for so many bytes, without taking them. */
  async #head(size: number): Promise<Buffer> {
    for (;;) {
      const head = this.#held.head(size);
      if (head !== undefined) return head;
      if (this.#over || this.#socket.destroyed) throw new Error('the connection was closed');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

const OVER = ['end', 'close', 'error'] as const;
