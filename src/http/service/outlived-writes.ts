import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

type Done = (error?: Error | null) => void;

/** What a write meets when the other side has closed the connection. What had come before can still be read. */
const CLOSED = new Set<unknown>(['EPIPE', 'ECONNRESET']);

/**
 * Has the reading side of a socket outlive a write that fails because the other side has closed: who answers early and closes
 * has an answer waiting here, unread. A socket is destroyed, and that answer lost, as soon as it hears of such a failure; so
 * it hears of it only when it is closed. Until then nothing more is written.
 */
export class OutlivedWrites {
  readonly #socket: Duplex;
  readonly #onFailed: () => void;
  /** Has the system say whether it would write. Under TLS there would be something to write. */
  readonly #ask: () => void;
  #hasLeft = false;
  #error: Error | null = null;

  /** @param onFailed - told of a failure that is outlived; the socket's end, or an error of its reading side, comes later */
  constructor(socket: Duplex, onFailed: () => void) {
    this.#socket = socket;
    this.#onFailed = onFailed;
    const write = socket._write.bind(socket);
    this.#ask = () => {
      if (socket instanceof TLSSocket || socket.writableLength > 0 || socket.destroyed) return;
      write('', 'latin1', (error) => {
        this.#error ??= error ?? null;
      });
    };
    const writeAll = socket._writev?.bind(socket);
    socket._write = (chunk, encoding, done) => this.#attempt((heard) => write(chunk, encoding, heard), socket, done);
    if (writeAll === undefined) return;
    socket._writev = (chunks, done) => this.#attempt((heard) => writeAll(chunks, heard), socket, done);
  }

  /** What a write failed with. */
  get error(): Error | null {
    return this.#error;
  }

  /**
   * Calls back when it can be told how the connection ended; to be called at its end. Behind a write that is under way nothing can
   * be asked for; but libuv tries that one again in the same event in which it tells of a reset as of an end. So whoever looks a
   * turn later has heard what it failed with, and after a proper end it is still under way.
   */
  whenTold(look: () => void): void {
    if (this.#error !== null || this.#socket.writableLength === 0) look();
    else setImmediate(look);
  }

  /**
   * Whether the connection was reset before the other side had said its end. A write that meets a reset may be all that hears
   * of it: a read finds a mere end afterwards, which nobody has said; and where a reset comes right behind bytes libuv tells of
   * an end without having read it. To be asked when that can be told. After a proper end a write fails with EPIPE instead.
   */
  isReset(): boolean {
    if (this.#error === null) this.#ask();
    return this.#error !== null && codeOf(this.#error) !== 'EPIPE';
  }

  /** What is written from here on is another request: what waits to be read before any of that has left is no answer to it. */
  begin(): void {
    this.#hasLeft = false;
  }

  #attempt(write: (heard: Done) => void, socket: Duplex, done: Done): void {
    write((error) => {
      if (error === undefined || error === null || !this.#hasLeft || !CLOSED.has(codeOf(error))) return done(error);
      this.#error = error;
      socket.once('close', () => done(error));
      this.#onFailed();
    });
    // Of a write that does not fail at once something is on its way.
    this.#hasLeft = true;
  }
}

/** Those on which a write has failed and was outlived. */
const givenUp = new WeakSet<Duplex>();

/** The same for a connection on which both sides speak as they like: it is closed once all is read that had come. */
export function outliveWrites(socket: Duplex): OutlivedWrites {
  const close = () => {
    if (writes.error !== null && socket.readableEnded) socket.destroy();
  };
  const failed = () => {
    givenUp.add(socket);
    close();
  };
  const writes = new OutlivedWrites(socket, failed);
  socket.once('end', close);
  return writes;
}

/** Whether what waits to be written never goes on, though what had come may still be read. */
export function takesNoMore(socket: Duplex): boolean {
  return socket.destroyed || givenUp.has(socket);
}

function codeOf(error: Error): unknown {
  return 'code' in error ? error.code : undefined;
}
