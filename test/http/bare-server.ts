import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Test } from 'tap';
import { systemClock } from '../../src/clock.js';
import { ClientConnection, type RequestHandler } from '../../src/http/client/connection.js';
import type { ClientRequest } from '../../src/http/client/request.js';
import type { ClientResponse } from '../../src/http/client/response.js';
import { portOf } from '../support/ports.js';
import { raw } from './gateway.js';

/** How long a head may take, milliseconds. */
export const HEAD_TIMEOUT = 10_000;
/** Serves connections on loopback. What is refused or goes wrong stands in `told`. */
export async function serve(
  t: Test,
  request: (req: ClientRequest, res: ClientResponse) => void,
  more: Partial<RequestHandler> = {},
) {
  const [connections, asked, told] = [new Set<ClientConnection>(), [] as string[], [] as string[]];
  const handler: RequestHandler = {
    request(req, res) {
      asked.push(`${req.method} ${req.target}`);
      request(req, res);
    },
    upgrade: (_req, socket) => socket.destroy(),
    connect: (_req, socket) => socket.destroy(),
    unreadable(connection, { message, status }) {
      told.push(message);
      if (connection.response?.hasBegun) connection.socket.destroy();
      else connection.socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
    },
    failed: (_connection, thrown) => void told.push(String(thrown)),
    ...more,
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    new ClientConnection(socket, { handler, domain: 'test', headTimeout: HEAD_TIMEOUT, connections });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const { socket } of connections) socket.destroy();
    server.close();
  });
  const port = portOf(server.address());
  /** Looks at all connections as if this much time had passed, milliseconds. */
  const look = (after: number) => {
    for (const connection of connections) connection.look(systemClock.monotonic() + after);
  };
  return {
    asked,
    told,
    connections,
    look,
    client: (bytes: string) => raw(t, port, Buffer.from(bytes, 'latin1')),
  };
}
