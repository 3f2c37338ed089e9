import type { Duplex } from 'node:stream';
import type { Session } from '../session/session.js';
import type { SightedStream } from '../session/sightings.js';
import { errorResponse, type Report } from './wire/backend.js';
import type { BackendFramer } from './wire/backend-framer.js';

/** What a client is given: what the server says, as it comes, and between two messages of that what we have to say ourselves. */
export class Delivery {
  readonly #client: Duplex;
  readonly #upstream: Duplex;
  readonly #session: Session;
  readonly #framer: BackendFramer;
  /** Looks for our own secrets in what the client is given of the server's. */
  readonly #said: SightedStream;
  /** What the server answers while statements are being stopped. */
  #held: Buffer[] | null = null;
  /** How many statements are being stopped: several results that are over a limit may come in one read. */
  #holds = 0;
  /** What the client was given so far ends in the middle of a message. */
  #midMessage = false;
  /** What the client is to be told as soon as a message of the server's has ended. */
  #untold: Buffer[] = [];
  #over = false;

  /** @param framer - whose pieces these are */
  constructor(client: Duplex, upstream: Duplex, session: Session, framer: BackendFramer) {
    this.#client = client;
    this.#upstream = upstream;
    this.#session = session;
    this.#framer = framer;
    this.#said = session.sightings.stream();
  }

  /**
   * Gives what the server has said.
   * @param continues - it begins in the middle of a message
   */
  give(pieces: readonly Buffer[], continues: boolean): void {
    if (this.#held === null) this.#deliver(pieces);
    else keep(this.#held, pieces, continues);
  }

  /** Holds what the server says from here on. @returns what gives it, and goes on, unless it is held for another cause as well */
  hold(): () => void {
    const held = this.#held ?? [];
    this.#held = held;
    this.#holds += 1;
    this.#upstream.pause();
    return () => {
      this.#holds -= 1;
      if (this.#holds > 0) return;
      this.#held = null;
      if (!this.#over) this.#deliver(held);
    };
  }

  /** The client takes more. */
  drained(): void {
    if (this.#held === null) this.#upstream.resume();
  }

  /** Tells the client something as soon as it stands between two messages. */
  insert(message: Buffer): void {
    if (this.#over) return;
    this.#untold.push(message);
    if (this.#midMessage) this.#framer.endPieceSoon();
    else this.#tellUntold();
  }

  /** Nothing more is given. */
  stop(): void {
    this.#over = true;
  }

  /** The last that the client is told, where it stands between two messages. */
  conclude(report: Report): void {
    if (!this.#client.destroyed && !this.#midMessage) this.#client.write(errorResponse(report));
  }

  #deliver(pieces: readonly Buffer[]): void {
    // The message that began in the chunk before and the rest of this one are one write to the system.
    if (pieces.length > 1) this.#client.cork();
    for (let i = 0; i < pieces.length && !this.#over; i += 1) {
      const piece = pieces[i]!;
      this.#said.push(piece);
      if (!this.#session.toClients.deliver(this.#client, piece)) this.#upstream.pause();
      // A deadline that came just now has cut the session instead: what the client has is what it had.
      if (this.#session.end === null) this.#midMessage = i === pieces.length - 1 && this.#framer.midMessage;
      this.#tellUntold();
    }
    if (pieces.length > 1) this.#client.uncork();
    if (!this.#over && !this.#client.writableNeedDrain && this.#held === null) this.#upstream.resume();
  }

  #tellUntold(): void {
    const untold = this.#untold;
    if (untold.length === 0 || this.#midMessage || this.#over) return;
    this.#untold = [];
    this.#client.write(Buffer.concat(untold));
  }
}

/** Keeps pieces for later: still every one but the last ends where a message ends. */
function keep(held: Buffer[], pieces: readonly Buffer[], continues: boolean): void {
  for (const [i, piece] of pieces.entries()) {
    const begun = i === 0 && continues ? held.pop() : undefined;
    held.push(Buffer.concat(begun === undefined ? [piece] : [begun, piece]));
  }
}
