import { readFileSync } from 'node:fs';

/**
 * Connections whose local port is one of these and for which the system holds bytes that the other side has not taken: it
 * would go on handing them over although their owner has closed (proc(5), /proc/net/tcp).
 */
export function unsent(ports: readonly number[]): string[] {
  const lines = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1);
  return lines.filter((line) => {
    const [, local = '', , , queues = ''] = line.trim().split(/\s+/);
    return ports.includes(Number.parseInt(local.split(':')[1] ?? '', 16)) && !queues.startsWith('00000000:');
  });
}
