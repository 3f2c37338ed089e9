import type { Duplex } from 'node:stream';
import { turnOf } from '../session/person-turns.js';
import { notRead, readOn } from '../session/unread.js';
import { FrontendFramer, type FrontendHandler } from './wire/frontend-framer.js';

/**
 * Messages that are looked at in one turn of the event loop. Of the shortest 13,000 come in one read, each of which is judged, held and
 * sent on: four clients that sent nothing but Syncs kept everybody else waiting for 15 s.
 */
const AT_A_TIME = 512;

/** Why a client is read no further: what it sent waits for its record, the server takes no more or answers too little, or others have their turn. */
export type Reason = 'record' | 'server' | 'answers' | 'turn';

/** What a client sends, cut into messages: some of them in each turn, and none while there is a reason to wait. */
export class Intake {
  readonly #client: Duplex;
  readonly #person: string;
  readonly #framer = new FrontendFramer();
  readonly #reasons = new Set<Reason>();
  #over = false;

  /** @param person - whose client it is */
  constructor(client: Duplex, person: string) {
    this.#client = client;
    this.#person = person;
  }

  /** What is held of a message that is not whole. */
  get held(): FrontendFramer['held'] {
    return this.#framer.held;
  }

  /** @throws FramingError on what is no message */
  read(chunk: Buffer, handler: FrontendHandler): void {
    const turn = turnOf(this.#person);
    const push = (isOver: () => boolean) =>
      this.#framer.push(chunk, handler, (messages) => messages >= AT_A_TIME || this.#reasons.has('record') || isOver());
    const rest = turn.isOver ? chunk : turn.work(push);
    if (rest.length === 0 || this.#over) return;
    if (!this.#reasons.has('record')) {
      this.wait('turn');
      turn.later(() => this.goOn('turn'));
    }
    this.#client.unshift(rest); // put back, since the end of what it sends stands behind that
  }

  wait(reason: Reason): void {
    this.#reasons.add(reason);
    this.#pace();
  }

  goOn(reason: Reason): void {
    this.#reasons.delete(reason);
    this.#pace();
  }

  /** From here on what comes is dropped, and must come. */
  stop(): void {
    this.#over = true;
    readOn(this.#client);
  }

  #pace(): void {
    if (this.#over) return;
    if (this.#reasons.size > 0) {
      this.#client.pause();
      notRead(this.#client);
    } else if (this.#client.isPaused()) {
      readOn(this.#client);
      this.#client.resume();
    }
  }
}
