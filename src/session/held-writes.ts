import type { Writable } from 'node:stream';

/** What is more is not held, bytes: to wake somebody for it is the least of what it costs. */
const LITTLE = 4 * 1024;

/** For whom something waits. */
export interface Holder {
  /** Whether what waits may still go; destroys the stream where it may not. */
  mayGo(stream: Writable): boolean;
}

interface Held {
  readonly stream: Writable;
  readonly holder: Holder;
  readonly gone: () => void;
}

let held: Held[] = [];
const atEnd = () => letWritesGo();

/**
 * Has the little that is written to a stream next go to the system at the end of this turn of the event loop, with what is written to
 * others: each such write wakes somebody, which is most of its cost, and whoever was woken for another one is awake.
 * @param bytes - how many are to be written
 * @param gone - called once they went
 * @returns whether they wait; false: they go at once
 */
export function holdWrites(stream: Writable, bytes: number, holder: Holder, gone = nothing): boolean {
  if (stream.writableCorked > 0) return true;
  if (bytes > LITTLE || stream.destroyed) return false;
  if (held.length === 0) setImmediate(atEnd);
  stream.cork();
  held.push({ stream, holder, gone });
  return true;
}

/** Has all that go now. */
export function letWritesGo(): void {
  if (held.length === 0) return;
  const all = held;
  held = [];
  for (const { stream, holder } of all) if (holder.mayGo(stream)) stream.uncork();
  for (const { gone } of all) gone();
}

function nothing(): void {}
