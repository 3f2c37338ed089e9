import { Unpacking } from '../../src/http/packed/unpacking.js';

/** How many are there at the most: of those that hold nothing yet. */
export const MOST_UNPACKINGS = 2_730;

/** How many more there could be, each of somebody else. */
export function freeUnpackings(): number {
  const open: Unpacking[] = [];
  const next = () => Unpacking.of('gzip', `person ${open.length}`, () => {});
  for (let one = next(); one !== null; one = next()) open.push(one);
  for (const one of open) one.close();
  return open.length;
}
