import pg from 'pg';
import type { Test } from 'tap';
import type { Closing } from '../../src/api/tunnel-stream.js';
import { openLocalPort } from '../../src/cli/local-port.js';
import { openTunnel } from '../../src/cli/tunnel.js';
import { askApi } from '../api/ground.js';
import { linkFor } from '../http/browser/fixture.js';
import type { TestGateway } from '../support/gateway.js';

/** A token as `daypass login` gets one. */
export async function tokenOf(gateway: Pick<TestGateway, 'operator' | 'ports'>, subject: string): Promise<string> {
  const body = JSON.stringify({ link: await linkFor(gateway, subject), client: 'test' });
  const headers = { 'content-type': 'application/json' };
  const made = await askApi(gateway.ports.http, { method: 'POST', path: '/api/v1/tokens', body, headers });
  return String(made.body.token);
}

/** A local port through whose tunnels `orders-db`, or another service, is reached; `told` is what became of them. */
export async function localPort(
  t: Test,
  gateway: { readonly ports: { readonly http: number } },
  token: string,
  service = 'orders-db',
  patience = 5_000,
) {
  const told: string[] = [];
  const endings: (Closing | null)[] = [];
  const port = await openLocalPort({
    port: 0,
    open: async () => {
      const where = { gateway: `http://localhost:${gateway.ports.http}`, token, service, port: 1 };
      const tunnel = await openTunnel(where);
      tunnel.once('close', () => endings.push(tunnel.ending));
      return tunnel;
    },
    refuse: (socket) => socket.destroy(),
    events: {
      stranger: () => told.push('stranger'),
      cut: (reason) => told.push(`cut ${reason}`),
      broken: () => told.push('broken'),
      refused: ({ code }) => told.push(`refused ${code}`),
      waiting: () => told.push('waiting'),
    },
    patience,
  });
  t.teardown(() => port.close());
  return { port: port.port, told, endings };
}

/** A connected client without a password. */
export async function tunnelled(t: Test, port: number, options: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'whoever', database: 'orders-db', ...options });
  client.on('error', () => {});
  await client.connect();
  t.teardown(() => client.end().catch(() => {}));
  return client;
}
