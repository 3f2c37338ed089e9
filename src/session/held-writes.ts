import type { Writable } from 'node:stream';

/** What is more is not held, bytes: to wake somebody for it is the least of what it costs. */
const LITTLE = 4 * 1024;

/** For whom something waits. */
export interface Holder {
  /** Whether its deadline has come: what waits may not go any more. */
  readonly isOver: boolean;
  /** Cuts it when its deadline has come. */
  isLive(): boolean;
}

interface Held {
  readonly holder: Holder;
  readonly gone: (bytes: number) => void;
  bytes: number;
}

let held = new Map<Writable, Held>();
const atEnd = () => letWritesGo();

/**
 * Has the little that is written to a stream next go to the system at the end of this turn of the event loop, with what is written to
 * others: each such write wakes somebody, which is most of its cost, and whoever was woken for another one is awake.
 * @param bytes - how many are to be written
 * @param gone - called once all that waited for this stream went, and how much it was, bytes
 * @returns whether they wait; false: they go at once
 */
export function holdWrites(stream: Writable, bytes: number, holder: Holder, gone = nothing): boolean {
  const waits = held.get(stream);
  if (waits !== undefined) {
    waits.bytes += bytes;
    return true;
  }
  if (bytes > LITTLE || stream.destroyed) return false;
  if (held.size === 0) setImmediate(atEnd);
  stream.cork();
  held.set(stream, { holder, gone, bytes });
  return true;
}

/**
 * Has all that go now. After a pause of the process within the turn what waited for a session that is over may not go, and nothing can
 * be said behind it. All of that is thrown away before its session is cut: to say farewell to one would have what waits for it go.
 */
export function letWritesGo(): void {
  if (held.size === 0) return;
  const all = held;
  held = new Map();
  const late: Holder[] = [];
  for (const [stream, { holder, gone, bytes }] of all) {
    if (holder.isOver) {
      stream.destroy();
      late.push(holder);
    } else {
      stream.uncork();
      gone(bytes);
    }
  }
  for (const holder of late) holder.isLive();
}

function nothing(_bytes: number): void {}
