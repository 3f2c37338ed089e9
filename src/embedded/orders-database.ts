import { readFile } from 'node:fs/promises';
import pg from 'pg';
import type { Cluster } from './cluster.js';
import { withClient } from './connect.js';
import { ensureDatabase, ensureRole } from './ledger.js';

export const ORDERS_DATABASE = 'orders';

/** Who may log in to the samples, with the passwords they have. */
export interface OrdersPasswords {
  readonly daypass_reader: string;
  readonly daypass_fixer: string;
  readonly orders_app: string;
}

/** The roles that may come over TCP: the two that the gateway injects. The web app uses the socket. */
export const ORDERS_TCP_CLIENTS = [
  { database: ORDERS_DATABASE, user: 'daypass_reader' },
  { database: ORDERS_DATABASE, user: 'daypass_fixer' },
];

const HARMLESS = 'nosuperuser nocreatedb nocreaterole noreplication nobypassrls noinherit';

/** Makes the sample database at the first start; its roles and their rights are set anew at every start. */
export async function prepareOrders(cluster: Cluster, passwords: OrdersPasswords): Promise<void> {
  await withClient({ ...cluster.superuser, database: 'postgres' }, async (client) => {
    await ensureRole(client, 'orders_owner', `${HARMLESS} nologin`);
    for (const [role, password] of Object.entries(passwords)) {
      await ensureRole(client, role, `${HARMLESS} login password ${pg.escapeLiteral(password)}`);
    }
    await ensureDatabase(client, ORDERS_DATABASE, 'orders_owner');
    await client.query('revoke all on database postgres, template1 from public');
  });
  await withClient({ ...cluster.superuser, database: ORDERS_DATABASE }, async (client) => {
    await fillOnce(client);
    await client.query(await script('roles.sql'));
  });
}

/** Tables and rows in one transaction: an interrupted first start begins again. */
async function fillOnce(client: pg.Client): Promise<void> {
  const { rows } = await client.query(`select to_regclass('public.orders') is not null as there`);
  if (rows[0]?.there === true) return;
  await client.query('begin');
  await client.query('set local role orders_owner');
  await client.query(await script('schema.sql'));
  await client.query(await script('rows.sql'));
  await client.query('commit');
  await client.query('vacuum analyze');
}

/** A script that stands beside this file. */
function script(name: string): Promise<string> {
  return readFile(new URL(`samples/${name}`, import.meta.url), 'utf8');
}
