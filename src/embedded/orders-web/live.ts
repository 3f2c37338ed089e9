import type { Server } from 'node:http';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import type { Orders } from './orders.js';

/** Milliseconds between two ticks. */
const TICK = 1_000;
/** Bytes of one message from a client. */
const MAX_MESSAGE = 64 * 1024;

/**
 * The WebSocket at `/live`: a tick each second with the orders' counts; what the client sends comes back as `echo`, and
 * `pause` and `resume` stop and start its ticks.
 * @param allowed whether a request carries the app's token
 * @returns ends all connections
 */
export function serveLive(
  server: Server,
  orders: Orders,
  allowed: (authorization: string | undefined) => boolean,
): () => void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    const path = request.url?.split('?')[0];
    const status =
      path !== '/live' ? '404 Not Found' : allowed(request.headers.authorization) ? undefined : '401 Unauthorized';
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => talk(client, orders));
  });
  return () => {
    for (const client of sockets.clients) client.terminate();
    sockets.close();
  };
}

function talk(client: WebSocket, orders: Orders): void {
  let paused = false;
  let number = 0;
  const say = (value: unknown) => client.send(JSON.stringify(value), () => {});
  const timer = setInterval(() => {
    if (paused) return;
    number += 1;
    const tick = number;
    orders.counts().then(
      (counts) => say({ type: 'tick', number: tick, at: new Date().toISOString(), counts }),
      () => client.close(1011, 'the database does not answer'),
    );
  }, TICK);
  client.on('message', (data: RawData, binary: boolean) => {
    if (binary) return client.send(asBuffer(data), { binary: true });
    const text = asBuffer(data).toString('utf8');
    if (text === 'pause' || text === 'resume') paused = text === 'pause';
    say({ type: 'echo', text, paused });
  });
  client.on('error', () => client.terminate());
  client.on('close', () => clearInterval(timer));
  say({ type: 'hello', commands: ['pause', 'resume'] });
}

function asBuffer(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
