import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { descriptors } from '../gate/descriptors.js';

/** One thing the gateway needs to work, by name. Answers null when it is there, else why not, in a few words. */
export type HealthCheck = () => string | null;

export type Checks = Readonly<Record<string, HealthCheck>>;

export interface HealthOptions {
  readonly host: string;
  readonly port: number;
  /** What /readyz asks: by name, or in one question that answers what is missing, by name. */
  readonly checks: Checks | (() => Promise<Readonly<Record<string, string>>>);
  /** What /livez asks: what is down, by name. Without it the process is alive when it answers. */
  readonly down?: () => Readonly<Record<string, string>>;
  /** What /metrics answers; without it there is no such page. */
  readonly metrics?: Scraped;
}

/** What a scrape reads: prom-client's registry. */
export interface Scraped {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/** A running health listener. */
export interface Health {
  readonly port: number;
  close(): Promise<void>;
}

/** How many may be connected: whoever fills this port must not have all descriptors of the process, of which it is given one in so many. */
const MOST = 128;
const SHARE = 16;

/** What is missing, by name; empty when the gateway is ready. A check that throws counts as missing. */
export function missing(checks: Checks): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, check] of Object.entries(checks)) {
    const why = attempt(check);
    if (why !== null) found[name] = why;
  }
  return found;
}

/**
 * `/livez`: 200 as long as the event loop answers and nothing is `down`. `/readyz`: 200, or 503 with what is missing. `/metrics`: numbers, by
 * service at most. Nothing else is told here, and nothing about people.
 */
export async function startHealth({ host, port, checks, down = () => ({}), metrics }: HealthOptions): Promise<Health> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, { error: 'GET only' });
    if (path === '/livez') return livez(response, down());
    if (path === '/metrics' && metrics !== undefined) return void scrape(response, metrics);
    if (path !== '/readyz') return answer(response, 404, { error: 'there are /livez, /readyz and /metrics here' });
    return void readyz(response, checks);
  });
  server.on('connection', roomFor(Math.min(MOST, Math.ceil(descriptors() / SHARE))));
  server.headersTimeout = 5_000;
  server.requestTimeout = 5_000;
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** For one more than that the oldest goes: a probe is answered at once, so the oldest are those that ask nothing. */
function roomFor(most: number): (socket: Socket) => void {
  const open = new Set<Socket>();
  return (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    const [oldest = socket] = open;
    if (open.size <= most) return;
    open.delete(oldest);
    oldest.destroy();
  };
}

function livez(response: ServerResponse, down: Readonly<Record<string, string>>): void {
  if (Object.keys(down).length === 0) answer(response, 200, { live: true });
  else answer(response, 503, { live: false, down });
}

async function readyz(response: ServerResponse, checks: HealthOptions['checks']): Promise<void> {
  const lacking = typeof checks === 'function' ? await checks() : missing(checks);
  const ready = Object.keys(lacking).length === 0;
  answer(response, ready ? 200 : 503, { ready, missing: lacking });
}

async function scrape(response: ServerResponse, metrics: Scraped): Promise<void> {
  try {
    const text = await metrics.metrics();
    response.writeHead(200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' }).end(text);
  } catch {
    answer(response, 500, { error: 'the metrics cannot be read' });
  }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  const headers = {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  };
  response.writeHead(status, headers).end(`${JSON.stringify(body)}\n`);
}

function attempt(check: HealthCheck): string | null {
  try {
    return check();
  } catch {
    return 'the check failed';
  }
}
