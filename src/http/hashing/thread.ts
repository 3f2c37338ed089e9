/* The thread that hashes: carries out orders one after the other, and sleeps while there are none. */
import { createHash, type Hash } from 'node:crypto';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { AWAITS, DIGEST_BYTES, DONE, GIVEN, type Order, readOrder, ringIn, SLEEPS, SLOTS, STREAMS } from './ring.js';

const ring = ringIn(workerData);
const pages: (Buffer | undefined)[] = Array.from({ length: SLOTS });
const hashes: (Hash | undefined)[] = Array.from({ length: STREAMS });

parentPort?.postMessage('ready');
for (let done = Atomics.load(ring.words, DONE); ; done = (done + 1) | 0) {
  while (Atomics.load(ring.words, GIVEN) === done) sleep(done);
  carryOut(readOrder(ring, done));
  Atomics.add(ring.words, DONE, 1);
  if (Atomics.load(ring.words, AWAITS) === 1) Atomics.notify(ring.words, DONE);
}

/** Until more than so many orders were given. */
function sleep(given: number): void {
  Atomics.store(ring.words, SLEEPS, 1);
  Atomics.wait(ring.words, GIVEN, given);
  Atomics.store(ring.words, SLEEPS, 0);
}

function carryOut({ operation, stream, slot, from, to }: Order): void {
  if (operation === 'load') pages[slot] = load();
  else if (operation === 'digest') {
    const hash = hashes[stream] ?? createHash('sha256');
    hash.digest().copy(ring.digests, stream * DIGEST_BYTES);
    hashes[stream] = undefined;
  } else {
    const page = pages[slot];
    if (page === undefined) throw new Error('a page that was not given');
    hashes[stream] ??= createHash('sha256');
    hashes[stream].update(page.subarray(from, to));
  }
}

function load(): Buffer {
  const given: { readonly message: SharedArrayBuffer } | undefined =
    parentPort === null ? undefined : receiveMessageOnPort(parentPort);
  if (given === undefined) throw new Error('a page that did not come');
  return Buffer.from(given.message);
}
