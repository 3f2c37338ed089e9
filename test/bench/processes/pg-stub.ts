/* A database that lets everybody in and answers every statement with nothing: what an idle session costs without PostgreSQL. */
import { createServer, type Socket } from 'node:net';
import { portOf } from '../../support/ports.js';
import { cstring, front, int32 } from '../../support/wire.js';
import { serveBench } from '../child.js';

const READY = front('Z', Buffer.from('I'));
const HELLO = Buffer.concat([
  front('R', int32(0)),
  ...Object.entries({ server_version: '18.4', client_encoding: 'UTF8', standard_conforming_strings: 'on' }).map((one) =>
    front('S', ...one.map(cstring)),
  ),
  front('K', int32(1), int32(1)),
  READY,
]);
const DONE = Buffer.concat([front('C', cstring('SELECT 0')), READY]);

const server = createServer({ noDelay: true }, (socket: Socket) => {
  socket.once('data', () => {
    socket.write(HELLO);
    socket.on('data', (chunk: Buffer) => {
      if (chunk[0] === 0x51) socket.write(DONE);
    });
  });
  socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => {
  serveBench({ port: portOf(server.address()) });
});
