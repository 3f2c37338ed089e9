import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { DaypassError, messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import type { Connection } from '../cluster.js';
import { serveLive } from './live.js';
import { Orders } from './orders.js';
import { refuse, route } from './routes.js';

export interface OrdersWebOptions {
  readonly host: string;
  readonly port: number;
  /** What every request must carry as `Authorization`: the credential that the gateway injects. */
  readonly authorization: string;
  readonly database: Connection;
  readonly log: Log;
}

/** The sample web service, running. */
export interface OrdersWeb {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts the orders web app: pages for browsers, JSON for tools, a WebSocket, a slow endpoint and an endless stream.
 * @throws DaypassError `samples_web` when it cannot listen
 */
export async function startOrdersWeb(options: OrdersWebOptions): Promise<OrdersWeb> {
  const { host, log } = options;
  const allowed = credentialCheck(options.authorization);
  const orders = new Orders(options.database, (cause) =>
    log.warn({ err: cause }, 'orders-web lost a database connection'),
  );
  const server = createServer((request, response) => void serve(request, response, orders, allowed, log));
  const endLive = serveLive(server, orders, allowed);
  const port = await listen(server, host, options.port).catch(async (cause: unknown) => {
    await orders.close();
    const problem = `the orders web app cannot listen on ${host}:${options.port}: ${messageOf(cause)}`;
    throw new DaypassError('samples_web', problem, {
      cause,
      hint: 'Move it with DAYPASS_SAMPLES_WEB=127.0.0.1:<port>.',
    });
  });
  const stop = async () => {
    endLive();
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
    await orders.close();
  };
  return { url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`, stop };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  orders: Orders,
  allowed: (authorization: string | undefined) => boolean,
  log: Log,
): Promise<void> {
  const call = { response, browser: false };
  try {
    if (allowed(request.headers.authorization)) return await route(request, response, orders);
    response.setHeader('www-authenticate', 'Bearer realm="orders-web"');
    refuse(call, 401, 'this service wants its own token, which only the gateway has');
  } catch (failure) {
    log.warn({ err: failure }, 'orders-web could not answer');
    if (response.headersSent) response.destroy();
    else refuse(call, 503, 'the orders database does not answer');
  }
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no address was given');
  return address.port;
}

/** Compares digests, so that neither length nor content shows in the time it takes. */
function credentialCheck(wanted: string): (authorization: string | undefined) => boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return (authorization) => authorization !== undefined && timingSafeEqual(digest(authorization), digest(wanted));
}
