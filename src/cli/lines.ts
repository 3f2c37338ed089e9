import { open, readFile } from 'node:fs/promises';
import { DaypassError, messageOf } from '../errors.js';

/**
 * The lines of a file, without line breaks. It is opened when they are asked for: lines that come before anybody listens would be
 * lost.
 * @throws DaypassError `file_unreadable`
 */
export async function* linesOf(path: string): AsyncGenerator<string> {
  yield* (await open(path).catch(unreadable)).readLines();
}

/** A whole file as text. @throws DaypassError `file_unreadable` */
export function textOfFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(unreadable);
}

function unreadable(cause: unknown): never {
  throw new DaypassError('file_unreadable', messageOf(cause), { cause });
}
