/* A WebSocket service that echoes. */
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { serveBench } from '../child.js';

const server = createServer((_request, response) => void response.end('echo\n'));
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  socket.on('error', () => socket.terminate());
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  serveBench({ port: typeof address === 'object' && address !== null ? address.port : 0 });
});
