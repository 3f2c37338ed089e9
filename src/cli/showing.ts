import { once } from 'node:events';
import { DaypassError } from '../errors.js';
import { harmlessJson } from '../log.js';

/** How the gateway says, in a stream of lines, that it could not read on. */
const FAULT_LINE = /^\{"error":/;

/** Writes to standard output, as fast as that is read. */
export async function writeOut(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

/**
 * Shows an answer of many lines of JSON as it comes.
 * @param what - what it is, as a sentence begins with it
 * @throws DaypassError `cut_off` when its last line is a fault
 */
export async function showLines(pieces: AsyncIterable<string>, what: string): Promise<void> {
  let last = '';
  for await (const piece of pieces) {
    await writeOut(harmlessJson(piece));
    last = (last + piece).slice(-4_096);
  }
  if (FAULT_LINE.test(last.trimEnd().split('\n').pop() ?? ''))
    throw new DaypassError('cut_off', `${what} could not be read to its end.`);
}
