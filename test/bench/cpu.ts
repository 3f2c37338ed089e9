import { readFileSync } from 'node:fs';

/** User and system time of a process so far, in seconds (proc(5): fields 14 and 15, in hundredths on Linux). */
export function cpuSeconds(pid: number | undefined): number {
  if (pid === undefined) return 0;
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
