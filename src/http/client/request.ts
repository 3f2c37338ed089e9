import type { Socket } from 'node:net';
import type { Guest } from '../../gate/strangers.js';
import type { Header } from '../action.js';
import { Asked } from '../asked.js';
import type { Head, HttpVersion } from '../head.js';
import { inOnePiece, type Kept } from '../memory/reading.js';
import type { Refusal } from '../refusals/deny.js';
import type { RequestLine } from './request-reader.js';

/** Who takes a request's body. */
export interface BodyReceiver {
  data(chunk: Kept): void;
  /** The body was whole. */
  end(): void;
  /** It does not come to its end. */
  fail(error: Error): void;
}

/** Who a request is served by. */
export interface RequestOwner {
  /** Its body cannot be read any more. @param why - for the record @returns whether the client could be told */
  unreadable(refusal: Refusal, why: 'client_left' | 'protocol_error'): boolean;
}

/** How much of a body is kept until somebody takes it, bytes. */
const HELD = 64 * 1024;
/** How much of a body that nobody wants is read on, so that an answer reaches a client that is still sending, bytes. */
export const DROPPED = 16 * 1024 * 1024;

/** A request of a client, and its body as it comes. */
export class ClientRequest {
  readonly method: string;
  /** As it stood in the request line. */
  readonly target: string;
  readonly head: Head;
  readonly socket: Socket;
  /** It is whole: there is no body, or it has been read to its end. */
  isComplete: boolean;
  /** What is known of its way, and how it is told of. */
  readonly asked = new Asked();
  owner: RequestOwner | null = null;
  /** Its client may come in. */
  isLetIn = false;
  readonly #guest: Guest;
  readonly #readOn: () => void;
  #receiver: BodyReceiver | null = null;
  #held: Kept[] = [];
  #heldBytes = 0;
  #isPaused = false;
  #failure: Error | null = null;
  /** Whoever takes the body knows of its end. */
  #isTold = false;

  /** @param readOn - called when more of its body can be taken */
  constructor({ method, target }: RequestLine, head: Head, socket: Socket, guest: Guest, readOn: () => void) {
    this.method = method;
    this.target = target;
    this.head = head;
    this.socket = socket;
    this.#guest = guest;
    this.isComplete = !this.hasBody;
    this.#readOn = readOn;
  }

  get version(): HttpVersion {
    return this.head.version;
  }

  get headers(): readonly Header[] {
    return this.head.headers;
  }

  /** Its client was found to be somebody who may come in. @returns false where they have too many connections for this one */
  letIn(person: string): boolean {
    this.isLetIn = this.#guest.letIn(person);
    return this.isLetIn;
  }

  /** The first value of a header, by its name in lower case. */
  header(name: string): string | undefined {
    return this.head.value(name);
  }

  get hasBody(): boolean {
    return this.head.framing !== 0;
  }

  /** The length of its body as the head says it, bytes; null when its chunks do. */
  get length(): number | null {
    const { framing } = this.head;
    return framing === 'chunked' ? null : framing;
  }

  /** Whether more of its body can be taken. */
  get isTaking(): boolean {
    return this.#receiver === null ? this.#heldBytes < HELD : !this.#isPaused;
  }

  /** Gives the body to somebody, once: at first what has come already. */
  receive(receiver: BodyReceiver): void {
    this.#receiver = receiver;
    this.#giveHeld();
    this.#readOn();
  }

  /** The body as one, while nobody has taken it; null unless all of it has come, and is no larger than that many bytes. */
  bodyUpTo(most: number): Buffer | null {
    if (!this.isComplete || this.#receiver !== null || this.#heldBytes > most) return null;
    return inOnePiece(this.#held.map(({ bytes }) => bytes));
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#giveHeld();
    this.#readOn();
  }

  /** Reads on a body that nobody wants, within bounds: who sends more waits, until it is let go of behind its answer. */
  drop(): void {
    if (this.isComplete) return;
    let left = DROPPED;
    const data = ({ bytes, release }: Kept) => {
      left -= bytes.byteLength;
      release();
      if (left < 0) this.pause();
    };
    this.#isPaused = false;
    this.receive({ data, end: () => {}, fail: () => {} });
  }

  /** For its connection alone: more of its body. */
  take(chunk: Kept): void {
    if (this.#receiver !== null && !this.#isPaused && this.#held.length === 0) return this.#receiver.data(chunk);
    this.#held.push(chunk);
    this.#heldBytes += chunk.bytes.byteLength;
  }

  /** For its connection alone: the body is whole. */
  complete(): void {
    this.isComplete = true;
    this.#tellEnd();
  }

  /** For its connection alone: nothing more comes of it. */
  fail(error: Error): void {
    if (this.isComplete) return;
    for (const { release } of this.#held.splice(0)) release();
    this.#failure = error;
    this.#tellEnd();
  }

  #giveHeld(): void {
    while (this.#held.length > 0 && !this.#isPaused) {
      const first = this.#held.shift()!;
      this.#heldBytes -= first.bytes.byteLength;
      this.#receiver?.data(first);
    }
    this.#tellEnd();
  }

  /** Once, behind all that is held. */
  #tellEnd(): void {
    const receiver = this.#receiver;
    if (receiver === null || this.#isTold || this.#held.length > 0) return;
    if (!this.isComplete && this.#failure === null) return;
    this.#isTold = true;
    if (this.#failure === null) receiver.end();
    else receiver.fail(this.#failure);
  }
}
