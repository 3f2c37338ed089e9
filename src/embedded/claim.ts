import { readFile, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { DaypassError } from '../errors.js';
import { birthmark } from './process.js';

const claimSchema = z.object({ pid: z.int().positive(), birthmark: z.string() });

/**
 * Claims a cluster's folder for this process, so that a second gateway never stops the database of a living one. A claim
 * left by a gateway that was killed is recognised by its process id and start time, and replaced.
 *
 * @returns gives the claim back
 * @throws DaypassError `embedded_in_use` when the process that holds it still runs (this one included)
 */
export async function claim(path: string): Promise<() => Promise<void>> {
  const mine = JSON.stringify({ pid: process.pid, birthmark: (await birthmark(process.pid)) ?? '' });
  if (!(await written(path, mine))) {
    await refuseIfHeld(path);
    await rm(path, { force: true });
    if (!(await written(path, mine))) await refuseIfHeld(path);
  }
  return () => rm(path, { force: true });
}

async function written(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (failure) {
    if (failure instanceof Error && 'code' in failure && failure.code === 'EEXIST') return false;
    throw failure;
  }
}

async function refuseIfHeld(path: string): Promise<void> {
  const holder = parse(await readFile(path, 'utf8').catch(() => ''));
  if (!holder || (await birthmark(holder.pid)) !== holder.birthmark) return;
  throw new DaypassError('embedded_in_use', `process ${holder.pid} already runs the database of this data directory`, {
    hint: 'Stop that gateway first, or give this one a data directory of its own with DAYPASS_DATA.',
  });
}

function parse(text: string) {
  try {
    return claimSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // cut off while it was written: its writer is gone
  }
}
