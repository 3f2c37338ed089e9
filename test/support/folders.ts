import { chmod, mkdtemp, rm } from 'node:fs/promises';
import type { Test } from 'tap';

/**
 * A data directory that the database's system user can pass, removed when `t` ends. Tap's own test folders are inside the
 * checkout, which may be under root's closed home.
 */
export async function dataFolder(t: Test): Promise<string> {
  const folder = await mkdtemp('/tmp/dp-data-');
  await chmod(folder, 0o711);
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
