import { join } from 'node:path';
import pg from 'pg';
import type { Log } from '../log.js';
import { type Cluster, type Connection, connectionUrl, startCluster } from './cluster.js';
import { withClient } from './connect.js';
import { keptSecret } from './files.js';

const NAME = 'daypass';

/** The gateway's own database when none is configured. */
export interface EmbeddedLedger {
  /** A connection string for node-postgres (and libpq), over a socket only the gateway's user reaches. */
  readonly databaseUrl: string;
  readonly connection: Connection;
  /** Resolves when the server has ended, wanted or not. */
  readonly exited: Promise<void>;
  /** Call it after the last record is written. */
  stop(): Promise<void>;
}

/**
 * Starts the private PostgreSQL of a data directory, with a database of a role that owns it and nothing else.
 * @param dataDirectory absolute; made when missing
 * @throws DaypassError `embedded_*`
 */
export async function startEmbeddedLedger(dataDirectory: string, log: Log): Promise<EmbeddedLedger> {
  const cluster = await startCluster({ name: 'ledger', dataRoot: dataDirectory, listen: 'socket', log });
  try {
    const password = await keptSecret(join(cluster.files.base, 'owner'));
    await makeDatabase(cluster, password);
    const { host, port } = cluster.superuser;
    const connection = { host, port, user: NAME, password, database: NAME };
    return { databaseUrl: connectionUrl(connection), connection, exited: cluster.exited, stop: cluster.stop };
  } catch (failure) {
    await cluster.stop();
    throw failure;
  }
}

async function makeDatabase(cluster: Cluster, password: string): Promise<void> {
  await withClient({ ...cluster.superuser, database: 'postgres' }, async (client) => {
    await ensureRole(client, NAME, `login password ${pg.escapeLiteral(password)}`);
    await ensureDatabase(client, NAME, NAME);
  });
}

/** Makes the role, or gives an existing one the same attributes. */
export async function ensureRole(client: pg.Client, role: string, attributes: string): Promise<void> {
  const { rowCount } = await client.query('select from pg_roles where rolname = $1', [role]);
  await client.query(`${rowCount ? 'alter' : 'create'} role ${pg.escapeIdentifier(role)} ${attributes}`);
}

/** Makes the database unless it is there. */
export async function ensureDatabase(client: pg.Client, name: string, owner: string): Promise<void> {
  const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
  if (rowCount) return;
  await client.query(
    `create database ${pg.escapeIdentifier(name)} owner ${pg.escapeIdentifier(owner)} template template0`,
  );
}
