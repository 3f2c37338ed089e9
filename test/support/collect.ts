import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');

const gc: () => void = runInNewContext('gc');

/** Collects the garbage, now and all of it: what is left is held. */
export function collect(): void {
  // Twice: what the first finds in buffers is given back beside the program, and waited for by the second.
  gc();
  gc();
}
