/*
 * The composition root of a gateway with several workers. This process, the primary, owns the addresses, the operator's
 * socket and the health listener, and passes connections on; each worker is a whole gateway of main.ts behind them.
 *
 *   clients ──> addresses of the primary ── in turns ──> worker 0 … worker N-1
 *   operator ──> <data>/daypass.sock ──> <data>/w0.sock … (operator.ts says which)
 *   Prometheus ──> health ── asks every worker
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startHealth } from './api/health.js';
import type { Address } from './config/address.js';
import type { GatewayConfig } from './config/gateway.js';
import { listening } from './doors.js';
import { DaypassError } from './errors.js';
import { Lifecycle } from './lifecycle.js';
import { createLog, type Log } from './log.js';
import type { Gateway, ServeOptions } from './main.js';
import { loadProtocols } from './protocols.js';
import { loadPolicies } from './reload.js';
import { Crew } from './workers/crew.js';
import { CrewHealth } from './workers/health.js';
import { CrewMetrics } from './workers/metrics.js';
import { startOperator } from './workers/operator.js';
import { workerSocket } from './workers/worker.js';

/**
 * Runs a gateway of `count` workers until `stop`. Each worker is this very program, started again with the same arguments:
 * it has to see that it is one (`workerIndex`).
 * @throws DaypassError `workers_need_redis`, `workers_need_database`, and whatever keeps a worker from starting
 */
export async function serveWithWorkers(options: ServeOptions, count: number, log: Log = createLog()): Promise<Gateway> {
  const { gateway: config } = loadPolicies(options, await loadProtocols());
  checkShared(config);
  await mkdir(options.dataDirectory, { recursive: true, mode: 0o700 });
  const lifecycle = new Lifecycle(log);
  try {
    return await build(options.dataDirectory, config, count, log, lifecycle);
  } catch (thrown) {
    await lifecycle.stop();
    throw thrown;
  }
}

/** What several processes must have in common. */
function checkShared({ redis, database }: GatewayConfig): void {
  if (redis === undefined) {
    throw new DaypassError('workers_need_redis', 'Several workers need Redis: without it grants live in one process.', {
      hint: 'set redis (REDIS_URL), or leave out --workers',
    });
  }
  if (database === undefined) {
    const message = 'Several workers need a database: the embedded one belongs to one process.';
    throw new DaypassError('workers_need_database', message, {
      hint: 'set database (DATABASE_URL), or leave out --workers',
    });
  }
}

async function build(
  dataDirectory: string,
  config: GatewayConfig,
  count: number,
  log: Log,
  lifecycle: Lifecycle,
): Promise<Gateway> {
  const sockets = Array.from({ length: count }, (_, index) => workerSocket(dataDirectory, index));
  const metrics = new CrewMetrics(sockets);
  const crew = new Crew({ count, log, ended: (index) => metrics.ended(index) });
  const crewHealth = new CrewHealth(crew, sockets);
  const missing = () => crewHealth.missing();
  let port = 0;
  const socketPath = join(dataDirectory, 'daypass.sock');
  // Before any worker: it is what keeps two gateways out of one data directory.
  const operator = await startOperator({ socketPath, sockets, missing, health: () => at(config.listen.health, port) });
  lifecycle.onStop('operator socket', () => operator.close());
  const { health: address } = config.listen;
  const starting = startHealth({ ...address, checks: missing, down: () => crewHealth.down(), metrics });
  const health = await listening('health', address, starting);
  port = health.port;
  lifecycle.onStop('health', () => health.close());
  lifecycle.onStop('workers', () => crew.stop());
  const { http, postgres } = await crew.start();
  const hangUp = () => crew.hangUp();
  process.on('SIGHUP', hangUp);
  lifecycle.onStop('SIGHUP', () => process.off('SIGHUP', hangUp));
  log.info({ workers: count, http, postgres, health: port }, 'the gateway serves');
  return { config, addresses: { http, postgres, health: port }, stop: () => lifecycle.stop() };
}

function at({ host }: Address, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
