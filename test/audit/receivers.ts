import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer as createTcp, type Socket } from 'node:net';
import { createServer as createTls } from 'node:tls';
import type { Test } from 'tap';
import type { AuditFacts } from '../../src/audit/entry.js';
import { portOf } from '../support/ports.js';
import { type PostAnswer, postReceiver } from '../support/post-receiver.js';

/** A post as it came. */
export interface Post {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly entries: readonly (AuditFacts & { readonly hash: string })[];
}

/** Keeps what is posted; `answer` says what it answers, 204 unless given. */
export function httpReceiver(t: Test, answer?: PostAnswer) {
  const read = (body: string, headers: IncomingHttpHeaders): Post => {
    return { headers, body, entries: JSON.parse(body).data.entries };
  };
  return postReceiver(t, '/siem', read, answer);
}

/** A real syslog receiver over TCP or TLS: frames by octet counting, as they came; it closes behind whoever closes. */
export async function streamReceiver(
  t: Test,
  pair?: { cert: string; key: string },
  refuse: (n: number) => boolean = () => false,
) {
  const messages: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const serve = (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    if (refuse(connections)) return void socket.resetAndDestroy();
    const pieces: Buffer[] = [];
    socket.on('data', (piece) => pieces.push(piece));
    socket.on('end', () => messages.push(...framesOf(Buffer.concat(pieces))));
  };
  const server = pair === undefined ? createTcp(serve) : createTls(pair, serve);
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { messages, address: { host: '127.0.0.1', port: portOf(server.address()) }, connections: () => connections };
}

/** RFC 6587: `<length> <message>`, and nothing between two. */
function framesOf(bytes: Buffer): string[] {
  const frames: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(' ', at);
    const length = Number(bytes.subarray(at, blank).toString());
    if (!Number.isInteger(length) || blank < 0) throw new Error(`no frame: ${bytes.subarray(at, at + 20)}`);
    frames.push(bytes.subarray(blank + 1, blank + 1 + length).toString());
    at = blank + 1 + length;
  }
  return frames;
}

/** A real UDP socket that keeps each datagram. */
export async function datagramReceiver(t: Test) {
  const messages: string[] = [];
  const socket = createSocket('udp4', (message) => messages.push(message.toString()));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  return { messages, address: { host: '127.0.0.1', port: socket.address().port } };
}
