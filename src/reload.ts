import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from './errors.js';
import type { Log } from './log.js';

/** Editors write a file in several steps: what changes within this time is one change, milliseconds. */
const SETTLE = 200;

/** Reloads on SIGHUP and when a file of the configuration changes. */
export function watchConfiguration(directory: string, reload: () => Promise<unknown>, log: Log): { stop(): void } {
  let timer: NodeJS.Timeout | null = null;
  const soon = () => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      // A refused policy is said by `reload` itself; the old one stays in force.
      void reload().catch(() => {});
    }, SETTLE);
  };
  const watchers = [directory, join(directory, 'services')].flatMap((path) => watched(path, soon, log));
  process.on('SIGHUP', soon);
  return {
    stop: () => {
      if (timer !== null) clearTimeout(timer);
      process.off('SIGHUP', soon);
      for (const watcher of watchers) watcher.close();
    },
  };
}

function watched(path: string, changed: () => void, log: Log): FSWatcher[] {
  try {
    const watcher = watch(path, { persistent: false }, changed);
    watcher.on('error', (thrown) =>
      log.warn({ path, err: messageOf(thrown) }, 'the configuration is no longer watched; use SIGHUP'),
    );
    return [watcher];
  } catch (thrown) {
    log.warn({ path, err: messageOf(thrown) }, 'the configuration cannot be watched; use SIGHUP');
    return [];
  }
}
