import { statfsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';

/** statfs(2). */
const TMPFS = 0x01021994;
/** What the servers of two test files may write, bytes. */
const ENOUGH = 2 * 2 ** 30;

/**
 * Where data that need not outlive the machine's memory goes. Making and deleting databases all the time costs a disk's file
 * system a tenth of the whole suite's CPU.
 */
export const FAST_FOLDERS = memoryFolder() ?? '/tmp';

function memoryFolder(): string | null {
  try {
    const { type, bavail, bsize } = statfsSync('/dev/shm');
    return type === TMPFS && bavail * bsize >= ENOUGH ? '/dev/shm' : null;
  } catch {
    return null;
  }
}

/**
 * A data directory that the database's system user can pass, removed when `t` ends. Tap's own test folders are inside the
 * checkout, which may be under root's closed home.
 */
export async function dataFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(FAST_FOLDERS, 'dp-data-'));
  await chmod(folder, 0o711);
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
