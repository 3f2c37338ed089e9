import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startSamples } from '../../../src/embedded/samples.js';
import { createLog } from '../../../src/log.js';
import { dataFolder } from '../../support/folders.js';
import { startGateway, type TestGateway } from '../../support/gateway.js';
import type { Twins, Way } from './twins.js';

/** The connection string of a way, without its password. */
export const conninfo = ({ host, port, user, database }: Way) =>
  `host=${host} port=${port} user=${user} dbname=${database} connect_timeout=20`;

/** What psql and other programs of libpq are told by their environment. */
export const libpqEnv = (way: Way) => ({ PGPASSWORD: way.password, PGTZ: 'UTC', LC_ALL: 'C.UTF-8', PAGER: 'cat' });

/**
 * The samples' reader: as the account itself, and as a grant for the service as it is shipped. Both are one server, since
 * neither can change anything there.
 */
export async function readerTwins(t: Test): Promise<Twins & { readonly parts: TestGateway }> {
  const samples = await startSamples(await dataFolder(t), createLog('silent'), {});
  t.teardown(() => samples.stop());
  const service = await readFile(join(process.cwd(), 'config/services/orders-db.yaml'), 'utf8');
  const parts = await startGateway(t, { services: { 'orders-db': service }, env: { ...samples.env } });
  const { handle } = await parts.issue({ service: 'orders-db', for: '1h' });
  const port = Number(samples.env.ORDERS_DB_ADDRESS.split(':')[1]);
  const account = { user: 'daypass_reader', password: samples.env.ORDERS_DB_PASSWORD };
  const host = '127.0.0.1';
  return {
    parts,
    direct: { name: 'direct', host, port, database: 'orders', ...account },
    gateway: {
      name: 'gateway',
      host,
      port: parts.ports.postgres,
      database: 'orders-db',
      user: 'alice',
      password: handle,
    },
  };
}
