import { Unpacking } from '../../src/http/packed/unpacking.js';

/** How many are there at the most: of those that hold nothing yet. */
export const MOST_UNPACKINGS = 2_730;

/** How many more there could be. */
export function freeUnpackings(): number {
  const open: Unpacking[] = [];
  for (let next = Unpacking.of('gzip', () => {}); next !== null; next = Unpacking.of('gzip', () => {})) open.push(next);
  for (const one of open) one.close();
  return open.length;
}
