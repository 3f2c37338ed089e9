/* A bare byte pipe in Node, `pipe.js <port>`: what any proxy in this runtime pays before it has read a byte. */
import { connect, createServer, type Socket } from 'node:net';
import { portOf } from '../../support/ports.js';
import { serveBench } from '../child.js';

const port = Number(process.argv[2]);
const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ port, host: '127.0.0.1', noDelay: true });
  join(client, upstream);
  join(upstream, client);
});
server.listen(0, '127.0.0.1', () => {
  serveBench({ port: portOf(server.address()) });
});

function join(from: Socket, to: Socket): void {
  from.on('data', (chunk: Buffer) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  from.on('error', () => from.destroy());
  from.on('close', () => to.destroy());
}
