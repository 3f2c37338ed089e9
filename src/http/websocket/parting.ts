import type { Duplex } from 'node:stream';
import { reset } from '../../session/connection.js';
import { letWritesGo } from '../../session/held-writes.js';
import type { FrameWatch } from './frame-watch.js';
import { closeFrame } from './plain-frame.js';

/** The close codes of our own making (RFC 6455 section 7.4). */
export const CODES = { cut: 4001, refused: 1008, tooLarge: 1009, noRoom: 1013, badGateway: 1014 } as const;

/** Why the gateway ends a WebSocket: what its client is told, and the record's word for it. */
export interface Ending {
  readonly code: number;
  readonly message: string;
  readonly reason: string;
}

/** One that no decision in the record stands for: whoever runs the gateway is told of it. */
export interface FaultyEnding extends Ending {
  readonly rule: string;
  /** More for the log, from our own code and never the peer's bytes. */
  readonly why?: string;
}

/** How long a peer may take to read the last that the system holds for it, and to end its side, milliseconds. */
const LINGERS = 60_000;

/**
 * Ends our side behind all that was written, and the whole connection when its peer has had time for that. A peer that does not take
 * what was written is left to its session's end.
 */
export function leaveGently(stream: Duplex): void {
  letWritesGo(); // or the end would have what waits go, however late it is
  if (stream.destroyed) return;
  stream.end(() => {
    const timer = setTimeout(() => reset(stream), LINGERS).unref();
    stream.once('close', () => clearTimeout(timer));
  });
  stream.resume(); // what still comes is thrown away: a connection closed on top of it is reset, and our last words are lost
}

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

  /** Says why this ends, where it can be said. @param code - `NO_CODE`: none */
  say(code: number, reason: string): void {
    if (!this.maySay) return;
    this.#isSaid = true;
    this.#client.write(closeFrame(code, reason));
  }

  /** Nothing more is said. */
  leave(): void {
    this.#isLeft = true;
    leaveGently(this.#client);
  }

  /**
   * The session is over: of what was left for the client to read it gets no more, and nothing can be said behind it. What the system
   * holds for a client that has ended its side, too, is the system's: that connection is closed.
   */
  takeBack(): void {
    if (this.#isLeft) reset(this.#client);
  }
}
