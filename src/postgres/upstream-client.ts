import pg from 'pg';
import type { PostgresTarget } from './policy.js';

/** How long the gateway's own questions to an upstream may take, milliseconds. */
const LIMIT = 5_000;

/**
 * Asks an upstream something of the gateway's own, on a connection of its own that is closed again: as the role's account,
 * which is all the gateway has.
 * @throws whatever `ask` throws, or why the upstream could not be reached
 */
export async function askUpstream<T>(
  target: PostgresTarget,
  name: string,
  ask: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const { host, port, user, password, database, tls } = target;
  const verified = { rejectUnauthorized: tls.mode === 'verify-full', ...(tls.ca === undefined ? {} : { ca: tls.ca }) };
  const client = new pg.Client({
    host,
    port,
    user,
    password,
    database,
    ssl: tls.mode === 'disable' ? false : verified,
    application_name: `daypass-${name}`,
    connectionTimeoutMillis: LIMIT,
    query_timeout: LIMIT,
    statement_timeout: LIMIT,
  });
  client.on('error', () => {}); // the question that fails tells
  try {
    await client.connect();
    return await ask(client);
  } finally {
    await client.end().catch(() => {});
  }
}
