import type { Test } from 'tap';

/** How long a process may take to be torn down and to end by itself, milliseconds. */
const GRACE = 30_000;

/**
 * To be called last by a test that opens much, since what is torn down first was asked for last: when the process does not end
 * within the grace, says what keeps it and ends it. Without this a forgotten timer, or a teardown that waits for ever, costs the
 * time limit of the whole file, and says nothing.
 */
export function endsByItself(t: Pick<Test, 'teardown'>): void {
  t.teardown(() => {
    const timer = setTimeout(() => {
      process.stderr.write(`still held after the last test: ${process.getActiveResourcesInfo().join(', ')}\n`);
      process.exit();
    }, GRACE);
    timer.unref(); // it fires only if something else keeps the process
  });
  void exitsWhenDone();
}

let isToExit = false;

/** As the gateway itself does: what reset connections still owed has kept Node busy for ever on its way out. */
export async function exitsWhenDone(): Promise<void> {
  if (isToExit) return;
  isToExit = true;
  // Not for whoever is no test, benchmarks among them: tap would end them after its time.
  const { default: root } = await import('tap');
  root.teardown(() => process.once('beforeExit', () => process.exit()));
}
