import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { z } from 'zod';
import { portOf } from '../support/ports.js';

/** How a service goes on behind an answer it gave early. */
export type Ending = 'closes' | 'ends' | 'stays' | 'resets' | 'is of Node';

/** What it is told: the bytes it answers with, and how it goes on. */
const { answer, ending } = z.object({ answer: z.string(), ending: z.string() }).parse(workerData);

const ENDINGS: Readonly<Record<string, (socket: Socket) => void>> = {
  closes: (socket) => socket.end(answer, () => socket.destroy()),
  ends: (socket) => socket.end(answer),
  stays: (socket) => socket.write(answer),
  resets: (socket) => socket.write(answer, () => socket.resetAndDestroy()),
};

// In a thread of its own, so that it may close while the gateway is in the middle of writing.
const server =
  ending === 'is of Node'
    ? createHttpServer((_, res) => res.writeHead(413, { connection: 'close' }).end('too large'))
    : createServer({ allowHalfOpen: true }, hastily);
server.on('connection', () => parentPort?.postMessage('connection'));
server.listen(0, '127.0.0.1', () => parentPort?.postMessage(portOf(server.address())));

/** Reads the head of a request, and maybe a little more. */
function hastily(socket: Socket): void {
  socket.on('error', () => {});
  socket.once('data', () => {
    socket.pause();
    ENDINGS[ending]?.(socket);
  });
}
