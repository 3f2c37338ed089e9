import { systemClock } from '../clock.js';
import { Queue } from '../queue.js';

/** How many connections go on in one turn of the event loop. */
const AT_ONCE = 16;
const waiting = new Queue<() => void>();
let isDue = false;

/**
 * Has a connection go on in a later turn, in its order, and few of them in each: where every byte costs work (bodies in tiny chunks, tiny
 * frames, requests that are refused at once) a few hundred connections that are read as fast as they send would keep everybody else
 * waiting for seconds.
 */
export function goOnLater(goOn: () => void): void {
  waiting.push(goOn);
  soon();
}

function soon(): void {
  if (isDue) return;
  isDue = true;
  setImmediate(next);
}

function next(): void {
  isDue = false;
  // Who goes on may come to wait anew, behind all.
  const some = Math.min(AT_ONCE, waiting.size);
  try {
    for (let went = 0; went < some; went += 1) waiting.shift()?.();
  } finally {
    if (waiting.size > 0) soon();
  }
}

/** From so many bytes in one read on it is asked what they were, bytes. */
const MANY = 16 * 1024;
/**
 * Of bodies so much is read in one turn, and then of each connection so much before others have theirs, bytes. What is at hand of a
 * connection would be read at once, up to 2 MiB: to hash and pass on that of 250 uploads took a third of a second, and a neighbour's
 * request waited for a dozen such turns. Of a few it takes no time to speak of, and to stop each after 256 KiB would halve its pace.
 */
const MOST_IN_TURN = 4 * 1024 * 1024;
const AT_A_TIME = 256 * 1024;

/** Some bodies are looked through for what they ask for, some bytes of them dozens of times: no turn takes longer for it, milliseconds. */
const LONGEST_TURN = 10;

/** What was read of bodies in this turn, on all connections, bytes. */
let readInTurn = 0;
/** When the first of it had been read, on the monotonic clock. */
let turnBegan = 0;

/** What is read of bodies on one connection, in its turns. */
export class Turns {
  #read = 0;

  /**
   * Whether others have their turn now.
   * @param came - what was read, bytes; for framing alone that is much work
   * @param data - how much of it was body
   */
  isOver(came: number, data: number): boolean {
    const now = systemClock.monotonic();
    if (readInTurn === 0) {
      turnBegan = now;
      setImmediate(endTurn);
    }
    readInTurn += came;
    this.#read += data;
    const isMuch = readInTurn > MOST_IN_TURN && this.#read >= AT_A_TIME;
    const isMostlyFraming = came >= MANY && 2 * data < came;
    if (!isMuch && !isMostlyFraming && now - turnBegan < LONGEST_TURN) return false;
    this.#read = 0;
    return true;
  }
}

function endTurn(): void {
  readInTurn = 0;
}
