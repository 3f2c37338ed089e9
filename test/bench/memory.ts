import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { BenchGateway } from './gateway.js';

/** Resident memory of a process, bytes. */
export async function residentOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

/** A gateway's memory, bytes, once it has collected its garbage and what is resident changes by less than 1 %. */
export async function settled({ child }: BenchGateway): Promise<{ resident: number; heap: number }> {
  let resident = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const { heapUsed, external } = await child.ask({ do: 'gc' });
    const now = await residentOf(child.pid);
    if (Math.abs(now - resident) < now / 100) return { resident: now, heap: Number(heapUsed) + Number(external) };
    resident = now;
    await pause(1_000);
  }
  throw new Error('the memory of the gateway does not settle');
}
