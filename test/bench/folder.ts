import { mkdtemp, rm } from 'node:fs/promises';
import type { Scope } from './scope.js';

/** A temporary folder that goes with the scope. */
export async function folder(scope: Scope): Promise<string> {
  const path = await mkdtemp('/tmp/dp-bench-');
  scope.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}
