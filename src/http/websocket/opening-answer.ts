import { MalformedMessage } from '../malformed.js';
import { readResponseHead } from '../service/response-head.js';

const END_OF_HEAD = Buffer.from('\r\n\r\n');
/** Bytes of a head; Node's client refuses one of half as many. */
const MOST_BYTES = 32 * 1024;

/**
 * Reads along what a service says to the opening of a WebSocket, up to the head that counts, as strictly as any other answer (A6, A7).
 * The client that opens them is Node's, which passes over line breaks before an answer and control characters in its first line, and
 * takes for a body what follows on a coding that nobody undoes.
 */
export class OpeningAnswer {
  #seen: Buffer = Buffer.alloc(0);
  /** The head that counts was read. */
  isRead = false;

  /** @throws MalformedMessage */
  push(bytes: Buffer): void {
    if (this.isRead) return;
    this.#seen = Buffer.concat([this.#seen, bytes]);
    for (let end = this.#endOfHead(); end !== -1 && !this.isRead; end = this.#endOfHead()) {
      const { status } = readResponseHead(this.#seen.toString('latin1', 0, end));
      this.isRead = status === 101 || status >= 200;
      this.#seen = this.#seen.subarray(end + END_OF_HEAD.length);
    }
    if (!this.isRead && this.#seen.length > MOST_BYTES) throw new MalformedMessage('a head without an end');
  }

  #endOfHead(): number {
    return this.#seen.indexOf(END_OF_HEAD);
  }
}
