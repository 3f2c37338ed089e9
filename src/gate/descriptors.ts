import { readFileSync } from 'node:fs';

/** How many file descriptors this process may have; without end where the system does not say, as Linux does. */
export function descriptors(): number {
  try {
    return descriptorsIn(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** @param limits - the limits of a process as Linux tells them (proc_pid_limits(5)) */
export function descriptorsIn(limits: string): number {
  const [, most = 'unlimited'] = /^Max open files +(\d+)/m.exec(limits) ?? [];
  return most === 'unlimited' ? Number.POSITIVE_INFINITY : Number(most);
}
