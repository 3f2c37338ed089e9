import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { parentPort, workerData } from 'node:worker_threads';
import { z } from 'zod';
import { portOf } from '../support/ports.js';

/** How a service goes on behind an answer it gave early. */
export type Ending = 'closes' | 'ends' | 'stays' | 'resets' | 'is of Node';

/** What it is told: the bytes it answers with, how it goes on, and whether it speaks TLS. */
const pairSchema = z.object({ cert: z.string(), key: z.string() });
const { answer, ending, pair } = z
  .object({ answer: z.string(), ending: z.string(), pair: pairSchema.nullable() })
  .parse(workerData);

const ENDINGS: Readonly<Record<string, (socket: Socket, below: Socket) => void>> = {
  closes: (socket) => socket.end(answer, () => socket.destroy()),
  ends: (socket) => socket.end(answer),
  stays: (socket) => socket.write(answer),
  resets: (socket, below) => socket.write(answer, () => below.resetAndDestroy()),
};

// In a thread of its own, so that it may close while the gateway is in the middle of writing.
const ofNode = createHttpServer((_, res) => res.writeHead(413, { connection: 'close' }).end('too large'));
// Without delay: behind the sessions that TLS hands out first an answer would wait here, and go with a reset.
const server = createServer({ allowHalfOpen: true, noDelay: true }, (below) => {
  if (pair === null) return serve(below, below);
  const secured = new TLSSocket(below, { isServer: true, ...pair });
  for (const socket of [below, secured]) socket.on('error', () => {});
  secured.once('secure', () => serve(secured, below));
});
server.on('connection', () => parentPort?.postMessage('connection'));
server.listen(0, '127.0.0.1', () => parentPort?.postMessage(portOf(server.address())));

function serve(socket: Socket, below: Socket): void {
  if (ending === 'is of Node') ofNode.emit('connection', socket);
  else hastily(socket, below);
}

/** Reads the head of a request, and maybe a little more. */
function hastily(socket: Socket, below: Socket): void {
  socket.on('error', () => {});
  socket.once('data', () => {
    socket.pause();
    ENDINGS[ending]?.(socket, below);
  });
}
