import type { Facts } from '../../recording/event.js';
import { redactPath } from './redact.js';

/**
 * The facts of what one side of a WebSocket says. Of a message that is like the last one they are the same object: it is decided on,
 * looked through and encoded once.
 */
export class MessageFacts {
  readonly #on: readonly string[];
  readonly #seq: number | undefined;
  readonly #from: 'service' | undefined;
  #last: Facts = {};

  /**
   * @param path - of the WebSocket
   * @param seq - the sequence number of its recorded opening: of two at one path the record tells whose message it is
   * @param from - who says it, unless it is the client
   */
  constructor(path: string, seq: number | undefined, from?: 'service') {
    this.#on = [redactPath(path)];
    this.#seq = seq;
    this.#from = from;
  }

  /**
   * @param bytes - how many it has
   * @param sha256 - of one that is not recorded as it is
   * @param whole - false for its beginning
   * @param code - of a close frame, whose bytes are those of its reason
   */
  of(frame: string, bytes: number, sha256: string | null, whole = true, code?: number): Facts {
    if (sha256 !== null || !whole || code !== undefined) return this.#made(frame, bytes, sha256, whole, code);
    if (this.#last.frame !== frame || this.#last.bytes !== bytes) this.#last = this.#made(frame, bytes, null, true);
    return this.#last;
  }

  /** One literal: see `joined`. */
  #made(frame: string, bytes: number, sha256: string | null, whole: boolean, code?: number): Facts {
    return {
      verb: 'message',
      on: this.#on,
      from: this.#from,
      frame,
      code,
      bytes,
      sha256: sha256 ?? undefined,
      whole: whole ? undefined : false,
      of: this.#seq,
    };
  }
}
