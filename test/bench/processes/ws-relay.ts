/* A bare relay of `ws` in front of `ws`, `ws-relay.js <port>`: what any gateway that reads whole messages in this runtime pays. */
import WebSocket, { WebSocketServer } from 'ws';
import { portOf } from '../../support/ports.js';
import { serveBench } from '../child.js';

const port = Number(process.argv[2]);
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
server.on('connection', (client, request) => {
  const upstream = new WebSocket(`ws://127.0.0.1:${port}${request.url}`, { perMessageDeflate: false });
  const opened = new Promise((resolve) => upstream.once('open', resolve));
  client.on('message', (data, binary) => {
    if (upstream.readyState === WebSocket.OPEN) upstream.send(data, { binary });
    else void opened.then(() => upstream.send(data, { binary }));
  });
  upstream.on('message', (data, binary) => client.send(data, { binary }));
  for (const [one, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    one.on('error', () => one.terminate());
    one.on('close', () => other.terminate());
  }
});
server.once('listening', () => {
  serveBench({ port: portOf(server.address()) });
});
