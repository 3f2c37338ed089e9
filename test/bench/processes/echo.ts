/* A WebSocket service that echoes, and takes uploads, which it throws away. */
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { portOf } from '../../support/ports.js';
import { serveBench } from '../child.js';

const server = createServer((request, response) => {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.once('end', () => response.end(`${bytes}\n`));
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  socket.on('error', () => socket.terminate());
});
server.listen(0, '127.0.0.1', () => {
  serveBench({ port: portOf(server.address()) });
});
