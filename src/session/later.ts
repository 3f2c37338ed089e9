/** How many connections go on in one turn of the event loop. */
const AT_ONCE = 16;
const waiting: (() => void)[] = [];

/**
 * Has a connection go on in a later turn, in its order, and few of them in each: where every byte costs work (bodies in tiny chunks, tiny
 * frames, requests that are refused at once) a few hundred connections that are read as fast as they send would keep everybody else
 * waiting for seconds.
 */
export function goOnLater(goOn: () => void): void {
  waiting.push(goOn);
  if (waiting.length === 1) setImmediate(next);
}

function next(): void {
  const some = waiting.slice(0, AT_ONCE);
  for (const goOn of some) goOn(); // who goes on may come to wait anew, behind all
  waiting.splice(0, some.length);
  if (waiting.length > 0) setImmediate(next);
}

/** From so many bytes in one read on it is asked what they were, bytes. */
const MANY = 16 * 1024;

/** Whether of what came at once more than the half was framing. */
export function isMostlyFraming(came: number, data: number): boolean {
  return came >= MANY && 2 * data < came;
}
