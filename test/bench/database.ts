import type { Socket } from 'node:net';
import pg from 'pg';
import type { Message } from './child.js';

/** A connected client of the database that a question names, over loopback. */
export async function connectedTo({ port, user, database, password }: Message): Promise<pg.Client> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: Number(port),
    user: String(user),
    database: String(database),
    password: String(password),
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** The socket of a connected client without the client's own parser, which would make an object of every message. */
export function bareSocketOf(client: pg.Client): Socket {
  const { connection } = client as unknown as { connection: { stream: Socket } };
  connection.stream.removeAllListeners('data');
  return connection.stream;
}

/** One message of the protocol: its type and its body. */
export function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5, type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
