/* Sends the data of one COPY as fast as it is taken: a client that costs next to nothing. */
import { once } from 'node:events';
import { type Message, serveBench } from '../child.js';
import { bareSocketOf, connectedTo, message } from '../database.js';

const LINE = Buffer.from(`${'x'.repeat(1023)}\n`);
/** What psql and libpq send at a time is smaller, what drivers do is larger: 64 rows in a message. */
const DATA = message('d', Buffer.concat(Array.from({ length: 64 }, () => LINE)));

serveBench({}, async ({ text, bytes, ...way }: Message) => {
  const socket = bareSocketOf(await connectedTo(way));
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
