import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Test } from 'tap';
import { acceptFor } from '../../src/http/websocket/handshake.js';
import { portOf } from '../support/ports.js';
import { serviceServer } from './over-tls.js';

/** A service on loopback that says only what a test writes to its sockets, and goes when the test ends. */
export async function bareService(t: Test, hear: (received: Buffer, socket: Socket) => void) {
  const sockets: Socket[] = [];
  const { server, scheme } = await serviceServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => hear(chunk, socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const port = portOf(server.address());
  return { url: `${scheme}://127.0.0.1:${port}`, port, sockets, server };
}

/** A service that opens every WebSocket asked for, and then says only what a test writes to its sockets. */
export function rawService(t: Test): ReturnType<typeof bareService> {
  const opened = new WeakSet<Socket>();
  return bareService(t, (received, socket) => {
    if (opened.has(socket)) return;
    opened.add(socket);
    const key = /sec-websocket-key: (\S+)/i.exec(received.toString('latin1'))?.[1] ?? '';
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n`,
    );
  });
}
