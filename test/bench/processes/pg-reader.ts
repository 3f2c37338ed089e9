/* Reads the rows of one statement as fast as they come and drops them: a client that costs next to nothing. */
import pg from 'pg';
import { type Message, serveBench } from '../child.js';

serveBench({}, async ({ port, user, database, password, text }: Message) => {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: Number(port),
    user: String(user),
    database: String(database),
    password: String(password),
  });
  await client.connect();
  const socket = socketOf(client);
  let bytes = 0;
  const from = process.hrtime.bigint();
  // Past the client's parser, which would make an object of every row. ReadyForQuery ends the stream.
  socket.removeAllListeners('data');
  const ended = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (chunk.length >= 6 && chunk.subarray(-6, -1).equals(READY)) resolve();
    });
  });
  const body = Buffer.from(`${text}\0`);
  const head = Buffer.alloc(5, 'Q');
  head.writeInt32BE(body.length + 4, 1);
  socket.write(Buffer.concat([head, body]));
  await ended;
  const ms = Number(process.hrtime.bigint() - from) / 1e6;
  socket.destroy();
  return { ms, bytes };
});

const READY = Buffer.from([0x5a, 0, 0, 0, 5]);

function socketOf(client: pg.Client): import('node:net').Socket {
  const { connection } = client as unknown as { connection: { stream: import('node:net').Socket } };
  return connection.stream;
}
