import { type Block, OpenBlock } from './block.js';
import type { FreshEvent, RecordedEvent } from './event.js';
import type { Hearing } from './hearing.js';

/**
 * The events of a session that go into its next block: more than a few as objects just until the recorder has a turn for encoding them,
 * then as bytes. As objects they would live until they are written, long enough for each collection of the young to carry them along.
 */
export class Stretch {
  readonly #sessionId: string;
  readonly #hearing: Hearing;
  #block: OpenBlock | null = null;
  #fresh: FreshEvent[] = [];
  /** How many of the fresh ones were heard elsewhere. */
  #heard = 0;
  #isStuck = false;
  #events = 0;
  #actions = 0;

  /** @param hearing - hears each event as it is encoded, and is told what becomes of it */
  constructor(sessionId: string, hearing: Hearing) {
    this.#sessionId = sessionId;
    this.#hearing = hearing;
  }

  /** How many events, and how many of them are actions. */
  get counts(): { readonly events: number; readonly actions: number } {
    return { events: this.#events, actions: this.#actions };
  }

  /** Whether one of its events cannot be encoded. */
  get isStuck(): boolean {
    return this.#isStuck;
  }

  /** How many events can be encoded now; none behind one that cannot. */
  get fresh(): number {
    return this.#isStuck ? 0 : this.#fresh.length;
  }

  /** How much is encoded, bytes. */
  get bytes(): number {
    return this.#block?.bytes ?? 0;
  }

  push(event: FreshEvent): void {
    this.#fresh.push(event);
    this.#events += 1;
    if (event.kind === 'action') this.#actions += 1;
  }

  /**
   * Encodes some of the fresh events.
   * @param before - the chain's value before the first event of the stretch
   * @param most - bytes, after which it stops
   * @param waits - for what is worked out elsewhere; otherwise it stops before that
   * @returns how much it was, bytes; 0 when there are no fresh ones
   * @throws for an event that cannot be encoded, and again each time
   */
  encode(before: Buffer, most: number, waits: boolean): number {
    if (this.#fresh.length === 0) return 0;
    this.#block ??= new OpenBlock(this.#sessionId, before);
    const block = this.#block;
    const from = block.bytes;
    let encoded = 0;
    this.#isStuck = true;
    try {
      while (encoded < this.#fresh.length && block.bytes - from < most) {
        const event = this.#fresh[encoded]!;
        if (event.later !== null) {
          if (!waits && !event.later.isThere) break;
          event.later.complete();
        }
        block.add(event);
        encoded += 1;
        if (encoded > this.#heard) this.#hearing.hear(event);
      }
      this.#isStuck = false;
    } finally {
      // Of those that are encoded nothing is kept, also where others wait behind them.
      this.#fresh = encoded === this.#fresh.length ? [] : this.#fresh.slice(encoded);
      this.#heard = Math.max(0, this.#heard - encoded);
    }
    return block.bytes - from;
  }

  /** The chain's value behind what is encoded. @param before - its value before the stretch */
  hashAfter(before: Buffer): Buffer {
    return this.#block?.hash ?? before;
  }

  /** The block of all this. Nothing can be pushed or encoded any more. */
  close(): Promise<Block> {
    const block = this.#block;
    if (block === null) throw new RangeError('nothing is encoded');
    this.#block = null;
    return block.close();
  }

  /**
   * All that stands in it, `by` further back in the record. Nothing can be done with this one any more.
   * @param closed - what stands in its block, of one that is closed
   */
  moved(by: number, move: (event: RecordedEvent) => RecordedEvent, closed: readonly RecordedEvent[] = []): Stretch {
    const encoded = this.#block?.read() ?? closed;
    this.#block?.drop();
    this.#block = null;
    this.#complete();
    this.#hearing.moved(by);
    const stretch = new Stretch(this.#sessionId, this.#hearing);
    for (const event of [...encoded, ...this.#fresh]) stretch.push({ ...move(event), later: null });
    stretch.#heard = encoded.length + this.#heard;
    return stretch;
  }

  /** What is worked out elsewhere is taken, so that it keeps nothing there. */
  #complete(): void {
    for (const { later } of this.#fresh) {
      try {
        later?.complete();
      } catch {
        // what could not be completed is said to be lost, or found so when it is encoded
      }
    }
  }

  /** It is in the ledger. */
  committed(): void {
    this.#hearing.over(true);
  }

  /** It never will be in the ledger. */
  lost(): void {
    this.#complete();
    this.#block?.drop();
    this.#block = null;
    this.#hearing.over(false);
  }
}
