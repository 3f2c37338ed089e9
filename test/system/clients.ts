import type { EventEmitter } from 'node:events';
import type pg from 'pg';
import type { Test } from 'tap';
import WebSocket from 'ws';
import { unconnected } from '../support/gateway.js';

/** How a client saw its end. Times are milliseconds since the epoch. */
export interface Ended {
  /** SQLSTATE or close code. */
  readonly code: string | null;
  readonly message: string;
  readonly at: number;
}

/** A client whose connection is open, and its end to come. */
export interface Watched<Client> {
  readonly client: Client;
  readonly ended: Promise<Ended>;
}

/** A node-postgres client as alice, through a gateway's port. Rejects as the gateway refuses. */
export async function database(
  t: Test,
  port: number,
  handle: string,
  options: pg.ClientConfig = {},
): Promise<Watched<pg.Client>> {
  const client = unconnected(port, handle, options);
  const ended = endOf(client);
  await client.connect();
  t.teardown(() => client.end().catch(() => {}));
  return { client, ended };
}

/** The FATAL is read off the connection: a running query would swallow it. */
function endOf(client: pg.Client): Promise<Ended> {
  const { connection } = client as unknown as { connection: EventEmitter };
  return new Promise((resolve) => {
    let told: { code: string | null; message: string } = { code: null, message: '' };
    connection.on('errorMessage', ({ code, message }: Error & { code?: string }) => {
      if (code !== undefined && /^(57P|08|28)/.test(code)) told = { code, message };
    });
    connection.once('end', () => resolve({ ...told, at: Date.now() }));
  });
}

/** Why a connection is refused, and how long that took (milliseconds); null when it is not. */
export async function refusal(
  port: number,
  handle: string,
): Promise<{ code: string | undefined; message: string; ms: number } | null> {
  const client = unconnected(port, handle);
  const asked = performance.now();
  try {
    await client.connect();
    await client.end();
    return null;
  } catch (thrown) {
    const { code, message } = thrown as Error & { code?: string };
    return { code, message, ms: performance.now() - asked };
  }
}

/** An open WebSocket of a service through a gateway's port. */
export async function webSocket(
  t: Test,
  port: number,
  handle: string,
  path = '/live',
  service = 'orders-web',
): Promise<Watched<WebSocket>> {
  const client = new WebSocket(`ws://127.0.0.1:${port}${path}`, {
    headers: { host: `${service}.localhost`, authorization: `Bearer ${handle}` },
    perMessageDeflate: false,
  });
  t.teardown(() => client.terminate());
  const ended = new Promise<Ended>((resolve) => {
    client.once('close', (code, reason) => resolve({ code: String(code), message: reason.toString(), at: Date.now() }));
  });
  await new Promise<void>((resolve, reject) => {
    client.once('open', resolve);
    client.once('error', reject);
    client.once('unexpected-response', (_, response) => reject(new Error(`answered ${response.statusCode}`)));
  });
  return { client, ended };
}
