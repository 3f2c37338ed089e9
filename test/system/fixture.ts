import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { WebSocketServer } from 'ws';
import { type Orders, ordersDatabase } from '../postgres/fixture.js';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.js';
import { ledgerDatabase } from '../support/ledger.js';
import type { Database, PostgresServer } from '../support/postgres.js';
import { type RedisServer, startRedis } from '../support/redis.js';

/** What gateways stand on: real servers, each of this test's own where it is to be stopped. */
export interface Ground {
  readonly redis: RedisServer;
  readonly ledger: Database;
  readonly orders: Orders;
  /** What the web service was sent: paths and WebSocket messages. */
  readonly webSaw: readonly string[];
  /** Starts a gateway process on all of it. */
  gateway(options?: {
    settings?: string;
    redisUrl?: string;
    services?: Readonly<Record<string, string>>;
    workers?: number;
  }): Promise<GatewayProcess>;
}

/** Lays the ground: Redis, a ledger (on `ledgerServer` when given), an orders database, a web service with a WebSocket. */
export async function ground(
  t: Test,
  options: { ledgerServer?: PostgresServer; upstream?: string } = {},
): Promise<Ground> {
  const redis = await startRedis(t);
  const ledger = await ledgerDatabase(t, options.ledgerServer);
  const orders = await ordersDatabase(t);
  const webSaw: string[] = [];
  const web = await webService(t, webSaw);
  const { upstream } = options;
  const services = {
    'orders-db': orders.policy(upstream === undefined ? {} : { upstream }),
    'orders-web': webPolicy(web),
  };
  return {
    redis,
    ledger,
    orders,
    webSaw,
    gateway: ({ settings, redisUrl = redis.url, services: others, workers } = {}) =>
      startGatewayProcess(t, {
        services: { ...services, ...others },
        env: orders.env,
        ledger,
        redisUrl,
        ...(settings === undefined ? {} : { settings }),
        ...(workers === undefined ? {} : { workers }),
      }),
  };
}

/** Two gateways over one ground. */
export async function twoGateways(t: Test, options: { ledgerServer?: PostgresServer; settings?: string } = {}) {
  const under = await ground(t, options);
  const { settings } = options;
  const common = settings === undefined ? {} : { settings };
  const [a, b] = await Promise.all([under.gateway(common), under.gateway(common)]);
  return { ...under, a, b };
}

function webPolicy(port: number): string {
  return `
service: orders-web
protocol: http
lane: production
owner: group:payments-leads
upstream: { url: "http://127.0.0.1:${port}" }
roles:
  viewer: { allow: [GET /, GET /n/:number, GET /stream, WS /live, WS /ticks] }
grants: { max_duration: 8h, max_renewals: 2 }
recording: { mode: strict }
`;
}

/** A page, a stream of a line each 20 ms, a WebSocket that echoes, and one that ticks as the stream does. */
async function webService(t: Test, saw: string[]): Promise<number> {
  const server = createServer((request, response) => {
    saw.push(request.url ?? '');
    if (request.url !== '/stream') return response.end('hello\n');
    const timer = setInterval(() => response.write('tick\n'), 20);
    response.once('close', () => clearInterval(timer));
    return response.write('begin\n');
  });
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket, request) => {
    const ticks = request.url === '/ticks' ? setInterval(() => socket.send('tick'), 20) : undefined;
    socket.on('close', () => clearInterval(ticks));
    socket.on('message', (data, isBinary) => {
      saw.push(String(data));
      socket.send(data, { binary: isBinary });
    });
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
