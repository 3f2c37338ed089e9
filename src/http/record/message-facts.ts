import type { Facts } from '../../recording/event.js';
import { redactPath } from './redact.js';

/** What else than its frame and size is to be said of a message. */
interface More {
  readonly sha256: string | null;
  readonly whole: boolean;
}

const NOTHING_MORE: More = { sha256: null, whole: true };

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

  /** @param bytes - how many it has */
  of(frame: string, bytes: number, more = NOTHING_MORE): Facts {
    if (more !== NOTHING_MORE) return this.#made(frame, bytes, more);
    if (this.#last.frame !== frame || this.#last.bytes !== bytes) this.#last = this.#made(frame, bytes, more);
    return this.#last;
  }

  /** One literal: see `joined`. */
  #made(frame: string, bytes: number, { sha256, whole }: More): Facts {
    return {
      verb: 'message',
      on: this.#on,
      from: this.#from,
      frame,
      bytes,
      sha256: sha256 ?? undefined,
      whole: whole ? undefined : false,
      of: this.#seq,
    };
  }
}
