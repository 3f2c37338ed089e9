/* Sends the data of one COPY as fast as it is taken: a client that costs next to nothing. */
import { once } from 'node:events';
import pg from 'pg';
import { type Message, serveBench } from '../child.js';

const LINE = Buffer.from(`${'x'.repeat(1023)}\n`);
/** What psql and libpq send at a time is smaller, what drivers do is larger: 64 rows in a message. */
const DATA = message('d', Buffer.concat(Array.from({ length: 64 }, () => LINE)));

serveBench({}, async ({ port, user, database, password, text, bytes }: Message) => {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: Number(port),
    user: String(user),
    database: String(database),
    password: String(password),
  });
  await client.connect();
  const socket = socketOf(client);
  socket.removeAllListeners('data');
  const from = process.hrtime.bigint();
  socket.write(message('Q', Buffer.from(`${text}\0`)));
  await begins(socket, 'G');
  const ended = begins(socket, 'C');
  let sent = 0;
  for (; sent < Number(bytes); sent += DATA.length) if (!socket.write(DATA)) await once(socket, 'drain');
  socket.write(message('c', Buffer.alloc(0)));
  await ended;
  const ms = Number(process.hrtime.bigint() - from) / 1e6;
  socket.destroy();
  return { ms, bytes: sent };
});

/** Resolves when the server's next message is of this type. */
async function begins(socket: import('node:net').Socket, type: string): Promise<void> {
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  if (chunk[0] !== type.charCodeAt(0)) throw new Error(`instead of ${type}: ${chunk.toString('latin1', 0, 300)}`);
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5, type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

function socketOf(client: pg.Client): import('node:net').Socket {
  const { connection } = client as unknown as { connection: { stream: import('node:net').Socket } };
  return connection.stream;
}
