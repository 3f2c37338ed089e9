import type { Test } from 'tap';
import { openDatabase } from '../../src/recording/database.js';
import { migrate } from '../../src/recording/migrate.js';
import { type Database, freshDatabase, type PostgresServer, sharedPostgres } from './postgres.js';

/** By server: a database that is migrated, once somebody has asked for the second one. */
const templates = new Map<PostgresServer, Promise<string> | null>();
const TEMPLATE = 'ledger_template';

/**
 * A database for a ledger. The first of a server is empty, and migrated by whoever uses it; those after it are copies of one
 * that is migrated, which takes a third of the time.
 */
export async function ledgerDatabase(t: Test, server?: PostgresServer): Promise<Database> {
  const host = server ?? (await sharedPostgres());
  const known = templates.get(host);
  if (known === undefined) {
    templates.set(host, null);
    return freshDatabase(t, host);
  }
  const template = known ?? makeTemplate(host);
  templates.set(host, template);
  return freshDatabase(t, host, await template);
}

async function makeTemplate(host: PostgresServer): Promise<string> {
  const maker = openDatabase(host.url(), { max: 1 });
  await maker.query(`create database ${TEMPLATE} template template0`).finally(() => maker.end());
  const pool = openDatabase(host.url(TEMPLATE), { max: 1 });
  await migrate(pool).finally(() => pool.end());
  return TEMPLATE;
}
