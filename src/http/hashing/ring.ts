/*
 * What two threads share: a ring of orders, how many were given and carried out, and the digests that came of them. Orders are
 * numbers in shared memory, and no messages: one is given in a microsecond and waited for only by who needs what comes of it.
 */

/** Places in `words`: how many orders were given, and how many were carried out. Both count on, over 2^31 into the negative. */
export const [GIVEN, DONE] = [0, 1] as const;
/**
 * Further places: 1 while the thread that hashes sleeps until more is given, and while the other waits until something is done. Nobody is
 * woken without need, which costs more than an order. Whoever goes to sleep says so first, and looks again then.
 */
export const [SLEEPS, AWAITS] = [2, 3] as const;
const FIRST_ORDER = 4;
const ORDER_WORDS = 4;
/** So many orders are given ahead at the most; with more, whoever gives them waits. */
export const AHEAD = 16;
/** How many digests can be under way. */
export const STREAMS = 64;
/** How many pages the other thread knows at a time. */
export const SLOTS = 64;
export const DIGEST_BYTES = 32;

/** What is to be done; `load` takes a page from the messages of the port. */
const OPERATIONS = ['load', 'update', 'digest'] as const;

/** For one stream: what to do with which bytes of which page. */
export interface Order {
  readonly operation: (typeof OPERATIONS)[number];
  readonly stream: number;
  readonly slot: number;
  readonly from: number;
  readonly to: number;
}

export interface Ring {
  readonly words: Int32Array;
  /** `DIGEST_BYTES` for each stream. */
  readonly digests: Buffer;
}

/** @param count - what both counts begin with */
export function makeRing(count: number): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(4 * (FIRST_ORDER + AHEAD * ORDER_WORDS) + STREAMS * DIGEST_BYTES);
  ringIn(shared).words.fill(count, GIVEN, DONE + 1);
  return shared;
}

export function ringIn(shared: SharedArrayBuffer): Ring {
  const words = new Int32Array(shared, 0, FIRST_ORDER + AHEAD * ORDER_WORDS);
  return { words, digests: Buffer.from(shared, words.byteLength, STREAMS * DIGEST_BYTES) };
}

/** @param count - how many orders were given before it */
export function writeOrder({ words }: Ring, count: number, { operation, stream, slot, from, to }: Order): void {
  const at = placeOf(count);
  words[at] = OPERATIONS.indexOf(operation) * STREAMS + stream;
  words[at + 1] = slot;
  words[at + 2] = from;
  words[at + 3] = to;
}

export function readOrder({ words }: Ring, count: number): Order {
  const at = placeOf(count);
  const [what = 0, slot = 0, from = 0, to = 0] = words.subarray(at, at + ORDER_WORDS);
  const operation = OPERATIONS[Math.floor(what / STREAMS)];
  if (operation === undefined) throw new Error('an order that nobody gives');
  return { operation, stream: what % STREAMS, slot, from, to };
}

/** `AHEAD` is a power of two: so it goes on where the count turns negative. */
function placeOf(count: number): number {
  return FIRST_ORDER + (count & (AHEAD - 1)) * ORDER_WORDS;
}
