import pg from 'pg';
import type { Connection } from './cluster.js';

/** Works on one connection and closes it. A connection that breaks is told by the failing query, not as a stray event. */
export async function withClient<T>(connection: Connection, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...connection });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
