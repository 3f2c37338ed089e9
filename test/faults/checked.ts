import { readdirSync } from 'node:fs';
import type { Exit, GatewayProcess } from '../support/gateway-process.js';
import type { Database } from '../support/postgres.js';
import { waitUntil } from '../support/wait.js';
import type { Ground } from './ground.js';
import { HELD } from './heap.js';

/** A gateway whose work is checked: a process, or the parts of one in this process. */
export interface Checked {
  /** Lines of its log, parsed. */
  readonly lines: readonly Record<string, unknown>[];
  descriptors(): number;
  /** What it holds once its garbage is collected, MiB. */
  memory(): Promise<number>;
  liveSessions(): Promise<number>;
  revoke(id: string): Promise<{ readonly status: number }>;
  /** Ends it in order. */
  stop(): Promise<Exit>;
}

/** What a checker looks at besides the clients. */
export interface Scene {
  readonly gateways: readonly Checked[];
  readonly ledger: Database;
  /** All that reached a service. */
  seen(): string;
}

/** The gateways of a ground, and its services by what their proxies passed on and what the web service saw. */
export function sceneOf({ gateways, ledger, upstreams, web }: Ground): Scene {
  return {
    gateways: gateways.map(checkedProcess),
    ledger,
    seen: () => [...[...upstreams.values()].map((proxy) => proxy.seen().toString('latin1')), ...web.saw].join('\n'),
  };
}

/** Revokes as the operator. */
export function revokeOn({ operator }: GatewayProcess, id: string): Promise<{ status: number }> {
  return operator('POST', `/v1/grants/${id}/revoke`, { reason: 'the task is done', by: 'ops' });
}

/** Open descriptors of a process. */
export function held({ pid }: Pick<GatewayProcess, 'pid'>): { descriptors: number } {
  return { descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

function checkedProcess(gateway: GatewayProcess): Checked {
  return {
    lines: gateway.lines,
    descriptors: () => held(gateway).descriptors,
    memory: () => heldMemory(gateway),
    liveSessions: async () => Number((await gateway.operator('GET', '/v1/status')).body.liveSessions),
    revoke: (id) => revokeOn(gateway, id),
    stop: () => gateway.stop(),
  };
}

async function heldMemory(gateway: GatewayProcess): Promise<number> {
  const answers = () => gateway.lines.filter(({ msg }) => msg === HELD);
  const before = answers().length;
  gateway.kill('SIGUSR2');
  await waitUntil('the gateway says what it holds', () => answers().length > before);
  const { bytes } = answers().at(-1) ?? {};
  return Number(bytes) / 2 ** 20;
}
