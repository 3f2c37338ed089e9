import type { Block } from './block.js';
import type { SessionLog } from './log.js';
import type { Stretch } from './stretch.js';

/** How much is encoded before others have their turn, bytes: about half a millisecond's work. */
const PIECE = 16 * 1024;
/** How long it gives way at a time to what is more urgent, milliseconds. */
export const GIVE_WAY_STEP = 5;

/**
 * Encodes what logs were told, soon after they were and a piece at a time: a thousand events in one go would hold up everything
 * else for ten milliseconds, cuts included.
 */
export class Encoding {
  readonly #pressed: () => boolean;
  /** Who has much to encode. */
  readonly #fresh = new Set<SessionLog>();
  #isDue = false;
  #sinceTurn = 0;

  /** @param pressed - whether something more urgent is late */
  constructor(pressed: () => boolean) {
    this.#pressed = pressed;
  }

  /** What this log was told is to be encoded, in the next turn of the event loop or a later one. */
  soon(log: SessionLog): void {
    this.#fresh.add(log);
    this.#soon();
  }

  /**
   * Encodes the rest of what was taken from a log, in turns, and closes its block. To be called again only when the last block is there.
   * Rejects for events that cannot be encoded.
   */
  async close(log: SessionLog, stretch: Stretch, before: Buffer): Promise<Block> {
    for (let size = stretch.encode(before, PIECE, true); size > 0; size = stretch.encode(before, PIECE, true))
      await this.#did(size);
    log.encoded(stretch.hashAfter(before));
    if (log.hasMany) this.soon(log);
    const block = await stretch.close();
    await this.#did(block.payload.byteLength);
    return block;
  }

  readonly #encodeSome = (): void => {
    this.#isDue = false;
    if (this.#pressed()) return this.#later();
    let left = PIECE;
    for (const log of this.#fresh) {
      left -= encoded(log, left);
      this.#fresh.delete(log);
      if (left > 0) continue;
      if (log.hasMany) this.#fresh.add(log); // behind the others
      break;
    }
    if (this.#fresh.size > 0) this.#soon();
  };

  #soon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.#encodeSome);
  }

  #later(): void {
    this.#isDue = true;
    setTimeout(this.#encodeSome, GIVE_WAY_STEP).unref(); // what is not encoded by then is when it is written
  }

  /** Others have their turn once enough was done. @param size - bytes that were encoded, or came of deflating */
  async #did(size: number): Promise<void> {
    this.#sinceTurn += size;
    if (this.#sinceTurn < PIECE) return;
    this.#sinceTurn = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What cannot be encoded is found again, and told, when it is to be written. */
function encoded(log: SessionLog, most: number): number {
  try {
    return log.encode(most);
  } catch {
    return 0;
  }
}
