import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';

/** One thing the gateway needs to work, by name. Answers null when it is there, else why not, in a few words. */
export type HealthCheck = () => string | null;

export interface HealthOptions {
  readonly host: string;
  readonly port: number;
  readonly checks: Readonly<Record<string, HealthCheck>>;
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

/** What is missing, by name; empty when the gateway is ready. A check that throws counts as missing. */
export function missing(checks: HealthOptions['checks']): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, check] of Object.entries(checks)) {
    const why = attempt(check);
    if (why !== null) found[name] = why;
  }
  return found;
}

/**
 * `/livez`: 200 as long as the event loop answers. `/readyz`: 200, or 503 with what is missing. `/metrics`: numbers, by
 * service at most. Nothing else is told here, and nothing about people.
 */
export async function startHealth({ host, port, checks, metrics }: HealthOptions): Promise<Health> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, { error: 'GET only' });
    if (path === '/livez') return answer(response, 200, { live: true });
    if (path === '/metrics' && metrics !== undefined) return void scrape(response, metrics);
    if (path !== '/readyz') return answer(response, 404, { error: 'there are /livez, /readyz and /metrics here' });
    const lacking = missing(checks);
    const ready = Object.keys(lacking).length === 0;
    return answer(response, ready ? 200 : 503, { ready, missing: lacking });
  });
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
