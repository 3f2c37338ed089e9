import { type Checks, startHealth } from './api/health.js';
import type { GatewayStatus } from './api/parts.js';
import type { Clock } from './clock.js';
import type { Address } from './config/address.js';
import type { GatewayConfig, TlsSettings } from './config/gateway.js';
import { DaypassError, messageOf } from './errors.js';
import type { Gate } from './gate/gate.js';
import { Strangers } from './gate/strangers.js';
import type { KeyRing, SigningKey } from './grant/keys.js';
import { Identity } from './http/identity.js';
import { type HttpOptions, startHttp } from './http/listener.js';
import type { BrowserAccess } from './identity/browser-access.js';
import type { Lifecycle } from './lifecycle.js';
import type { Log } from './log.js';
import type { Metrics } from './metrics.js';
import type { Neighbours } from './postgres/cancel.js';
import { startPostgres } from './postgres/listener.js';

export interface DoorParts {
  readonly config: GatewayConfig;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly lifecycle: Lifecycle;
}

/** What services verify the gateway's word with. */
export interface DoorKeys {
  readonly key: SigningKey;
  readonly keys: KeyRing;
}

/** Where it listens really: ports may have been chosen by the system. */
export interface Ports {
  readonly http: number;
  readonly postgres: number;
  /** 0: none, in a worker. */
  readonly health: number;
}

/** The protocols' doors. */
export async function openDoors(
  base: DoorParts,
  gate: Gate,
  access: BrowserAccess,
  { key, keys }: DoorKeys,
  pages: Pick<HttpOptions, 'api' | 'desk'>,
  neighbours: Neighbours | undefined,
) {
  const { config, clock, metrics, log, lifecycle } = base;
  const { listen, domain, tls, proxies, public: outside } = config;
  const identity = new Identity(key, () => clock.wall(), keys);
  const serving = { gate, log, clock, strangers: new Strangers({ log, metrics }) };
  const secured = tls?.http === true ? tls : undefined;
  const door = { ...listen.http, domain, tls: secured, publicUrl: outside.url, proxies: proxies.http, ...pages };
  const starting = startHttp({ ...serving, ...door, identity, access, metrics });
  const http = await listening('HTTP', listen.http, starting);
  lifecycle.onStop('HTTP', () => http.stop());
  const opening = startPostgres({ ...serving, ...listen.postgres, tls, proxies: proxies.postgres, neighbours });
  const postgres = await listening('Postgres', listen.postgres, opening);
  lifecycle.onStop('Postgres', () => postgres.stop());
  return {
    ports: { http: http.address.port, postgres: postgres.port },
    take: { postgres: postgres.take, http: http.take },
    showCertificate: (pair: TlsSettings) => {
      http.replaceCertificate(pair);
      postgres.replaceCertificate(pair);
    },
  };
}

/** `/livez`, `/readyz` and `/metrics`; a worker's are asked by the primary, over its socket. Returns the port. */
export async function openHealth({ config, metrics, lifecycle }: DoorParts, checks: Checks): Promise<number> {
  const address = config.listen.health;
  const health = await listening('health', address, startHealth({ ...address, checks, metrics: metrics.registry }));
  lifecycle.onStop('health', () => health.close());
  return health.port;
}

/** Where each listener is bound really: a port may have been chosen by the system. */
export function boundAddresses(listen: GatewayConfig['listen'], ports: Ports): GatewayStatus['listen'] {
  const at = ({ host }: Address, port: number) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
  return {
    http: at(listen.http, ports.http),
    postgres: at(listen.postgres, ports.postgres),
    health: ports.health === 0 ? null : at(listen.health, ports.health),
  };
}

/** @throws DaypassError `listen_failed`, naming whose address cannot be had */
export function listening<Listener>(
  who: string,
  { host, port }: Address,
  starting: Promise<Listener>,
): Promise<Listener> {
  return starting.catch((cause: unknown) => {
    throw new DaypassError('listen_failed', `${who} cannot listen on ${host}:${port}: ${messageOf(cause)}`, {
      cause,
      hint: `It is \`listen.${who.toLowerCase()}\` of daypass.yaml: DAYPASS_${who.toUpperCase()} in the shipped one.`,
    });
  });
}
