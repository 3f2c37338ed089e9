import type { Test } from 'tap';
import { type Orders, ordersDatabase } from '../postgres/fixture.js';
import { selfSigned } from '../support/certificate.js';
import { type FaultProxy, faultProxy } from '../support/fault-proxy.js';
import type { IssuedGrant } from '../support/gateway.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { ledgerDatabase } from '../support/ledger.js';
import { type Database, type PostgresServer, sharedPostgres, startPostgres } from '../support/postgres.js';
import { type RedisServer, startRedis } from '../support/redis.js';
import { type WebService, webPolicy, webService } from './services.js';

/** Gateways with a fault proxy at every seam. */
export interface Ground {
  readonly redis: RedisServer;
  /** The ledger itself, past its proxy. */
  readonly ledger: Database;
  readonly orders: Orders;
  readonly web: WebService;
  readonly seams: {
    readonly redis: FaultProxy;
    readonly ledger: FaultProxy;
    /** By service. */
    readonly upstream: (service: string) => FaultProxy;
  };
  readonly gateways: readonly GatewayProcess[];
  /** The first gateway. */
  readonly gateway: GatewayProcess;
  /** Every proxy in front of a service. */
  readonly upstreams: ReadonlyMap<string, FaultProxy>;
  /** A grant of the first gateway, with when it ends (milliseconds since the epoch). */
  issue(service: string, duration?: string, role?: string): Promise<Grant>;
}

/** A grant, and when what it opened has to end. */
export interface Grant extends IssuedGrant {
  readonly service: string;
  /** When its revocation was asked for, milliseconds since the epoch. */
  revokedAt: number | null;
}

export interface GroundOptions {
  /** Databases and web services by name; each has a proxy of its own in front of the same server. */
  readonly databases?: readonly string[];
  readonly webs?: readonly string[];
  /** A database that is reached with TLS: where it fails before anybody has logged in, so that there is nothing in it. */
  readonly encrypted?: string;
  /** One gateway for each: more lines for its `daypass.yaml`. */
  readonly settings?: readonly string[];
}

const WITHOUT_DRAIN = 'drain: 0s';

/** Starts everything; all of it ends with `t`. */
export async function ground(t: Test, options: GroundOptions = {}): Promise<Ground> {
  const { databases = ['orders-db'], webs = ['orders-web'], settings = [WITHOUT_DRAIN] } = options;
  const [redis, server, web] = await Promise.all([startRedis(t), sharedPostgres(), webService(t)]);
  const [ledger, orders] = await Promise.all([ledgerDatabase(t), ordersDatabase(t)]);
  await orders.database.query(`grant insert on order_items to ${fixerOf(orders)}`);
  const seams = { redis: await faultProxy(t, redis.port), ledger: await faultProxy(t, server.port) };
  const upstreams = new Map<string, FaultProxy>();
  const services: Record<string, string> = {};
  for (const name of databases) {
    const proxy = await faultProxy(t, server.port);
    upstreams.set(name, proxy);
    const policy = orders.policy({ upstream: `127.0.0.1:${proxy.port}`, more: loader(orders) });
    services[name] = policy.replace('orders-db', name);
  }
  if (options.encrypted !== undefined) {
    const proxy = await faultProxy(t, (await encryptedPostgres(t)).port);
    upstreams.set(options.encrypted, proxy);
    const plain = orders.policy({ upstream: `127.0.0.1:${proxy.port}` }).replace('orders-db', options.encrypted);
    services[options.encrypted] = plain.replace(', database:', ', tls: require, database:');
  }
  for (const name of webs) {
    const proxy = await faultProxy(t, web.port);
    upstreams.set(name, proxy);
    services[name] = webPolicy(name, proxy.port);
  }
  const behind = { ...ledger, url: ledger.url.replace(`:${server.port}/`, `:${seams.ledger.port}/`) };
  const env = { ...orders.env, NODE_OPTIONS: `--import=${new URL('heap.js', import.meta.url).href}` };
  const common = { services, env, ledger: behind, redisUrl: `redis://127.0.0.1:${seams.redis.port}` };
  const gateways = await Promise.all(settings.map((lines) => startGatewayProcess(t, { ...common, settings: lines })));
  const [gateway] = gateways;
  if (gateway === undefined) throw new Error('no gateway was asked for');
  const upstream = (service: string) => {
    const proxy = upstreams.get(service);
    if (proxy === undefined) throw new Error(`there is no service ${service}`);
    return proxy;
  };
  return {
    ...{ redis, ledger, orders, web, gateways, gateway, upstreams },
    seams: { ...seams, upstream },
    issue: async (service, duration = '10m', role) => ({
      ...(await gateway.issue({ service, for: duration, ...(role === undefined ? {} : { role }) })),
      service,
      revokedAt: null,
    }),
  };
}

function fixerOf({ database }: Orders): string {
  return `fixer_${database.name}`;
}

/** A role that may fill a table. */
function loader(orders: Orders): string {
  return `  loader:
    search_path: [public]
    upstream: { user: ${fixerOf(orders)}, password: { env: FIXER_PASSWORD } }
    allow: [{ statements: [copy-in], relations: [public.order_items] }]`;
}

async function encryptedPostgres(t: Test): Promise<PostgresServer> {
  const { cert, key } = await selfSigned();
  return startPostgres(t, {
    files: { 'server.crt': cert, 'server.key': key },
    settings: (folder) => ({ ssl: 'on', ssl_cert_file: `${folder}/server.crt`, ssl_key_file: `${folder}/server.key` }),
  });
}
