import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');

/** Collects the garbage, now and all of it: what is left is held. */
export const collect: () => void = runInNewContext('gc');
