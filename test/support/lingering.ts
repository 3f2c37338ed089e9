import type { Test } from 'tap';

/** How long after its last test a process may take to end by itself, milliseconds. */
const GRACE = 10_000;

/**
 * To be called first by a test that opens much: when everything of it was torn down and the process still does not end, says
 * what keeps it and ends it. Without this a forgotten timer costs the time limit of the whole file, and says nothing.
 */
export function endsByItself(t: Pick<Test, 'teardown'>): void {
  t.teardown(() => {
    const timer = setTimeout(() => {
      process.stderr.write(`still held after the last test: ${process.getActiveResourcesInfo().join(', ')}\n`);
      process.exit();
    }, GRACE);
    timer.unref(); // it fires only if something else keeps the process
  });
}
