import { readFileSync } from 'node:fs';

/**
 * Counts from now on for how long these processes were ready to run and had no core, milliseconds, all added up: what a busy
 * machine, and not they, takes from a promise about time. Their own work is not counted, nor what they wait for. Only Linux
 * says it (proc(5), `/proc/<pid>/schedstat`: the second number); elsewhere it is 0, and every promise holds as it is.
 * @param pids - whatever has to run for the promise; this process alone unless told
 */
export function starvation(...pids: readonly number[]): () => number {
  const watched = pids.length === 0 ? [process.pid] : pids;
  const before = watched.map(waited);
  return () => watched.reduce((sum, pid, i) => sum + Math.max(0, waited(pid) - (before[i] ?? 0)), 0);
}

/** Of its main thread, which runs the event loop. */
function waited(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0; // it has ended, or this is no Linux
  }
}
