import type pg from 'pg';
import { DaypassError, messageOf } from '../errors.js';
import { isContentFault } from './faults.js';
import { timed } from './timed.js';

/** What a first connection fails with, by SQLSTATE (PostgreSQL manual, appendix A); all else is `database_unreachable`. */
const REFUSALS: Readonly<Record<string, readonly [code: string, words: string]>> = {
  '28P01': ['database_login_refused', 'refuses the login of the gateway'],
  '28000': ['database_login_refused', 'refuses the login of the gateway'],
  '3D000': ['database_missing', 'is missing'],
};
/** The primary key and the default partition of a partitioned table, on which `blocks` stands, are of this version. */
const OLDEST = 11;
/** How long a server may take to say what it is, milliseconds. */
const WITHIN = 2_000;
const HINT = 'It is the `database` of daypass.yaml: DATABASE_URL in the shipped one.';

/**
 * Makes the first connection to the ledger and asks whether it can be written, so that a gateway that cannot work says why in
 * one sentence, without the password.
 * @throws DaypassError `database_unreachable`, `database_login_refused`, `database_missing`, `database_too_old`,
 * `database_read_only`
 */
export async function examineDatabase(pool: pg.Pool): Promise<void> {
  const { rows } = await pool
    .query<{ version: string; read_only: boolean }>(
      `select current_setting('server_version_num') as version, current_setting('transaction_read_only')::boolean as read_only`,
    )
    .catch(explained);
  examineVersion(Math.floor(Number(rows[0]?.version) / 10_000));
  if (rows[0]?.read_only !== false) throw readOnly('its transactions are read-only');
}

const STANDS = `
  select pg_is_in_recovery() as standby, current_setting('search_path') as path, current_setting('synchronous_commit') as commits`;

/**
 * Asks a new connection's server whether it is the primary. A standby may answer what is no longer true: that a grant is not suspended,
 * that a browser is logged in. Its address may lead there at any time, amid a failover. And whether it heard the settings that a connection
 * begins with: a pooler that drops them may have "committed" mean less than "on disk".
 * @param schema - what the search path was set to
 * @throws DaypassError `database_read_only`, `database_pooled`, or what `pg` does
 */
export async function examineConnection(client: pg.ClientBase, schema: string): Promise<void> {
  const { rows } = await client.query<{ standby: boolean; path: string; commits: string }>(timed(WITHIN, STANDS));
  if (rows[0]?.standby !== false) throw readOnly('it is a standby');
  if (rows[0].path === schema && rows[0].commits === 'on') return;
  throw new DaypassError(
    'database_pooled',
    'The database did not hear the settings of the gateway: a pooler drops them.',
    {
      hint: `Point the gateway at PostgreSQL itself, past PgBouncer and its like. ${HINT}`,
    },
  );
}

/**
 * Has the server look every 5 s whether its client is still there, while it runs a statement or waits for a lock: it would go on with what
 * was given up, a search for hours, and each who asks again would leave one more. Servers before 14, and those on Windows, cannot.
 */
const LOOKS_FOR_US = `select set_config(name, '5s', false) from pg_settings where name = 'client_connection_check_interval'`;

/** Has a new connection's server end what is given up, where it can. */
export async function endsWithUs(client: pg.ClientBase): Promise<void> {
  await client.query(timed(WITHIN, LOOKS_FOR_US)).catch((thrown: unknown) => {
    if (!isContentFault(thrown)) throw thrown;
  });
}

function readOnly(why: string): DaypassError {
  return new DaypassError('database_read_only', `The database cannot be written: ${why}.`, {
    hint: `Point the gateway at the primary. ${HINT}`,
  });
}

/** @param major - as the server says; what is no number is refused too */
function examineVersion(major: number): void {
  if (major >= OLDEST) return;
  throw new DaypassError('database_too_old', `The database is PostgreSQL ${major}; Daypass needs ${OLDEST} or newer.`, {
    hint: HINT,
  });
}

function explained(thrown: unknown): never {
  if (thrown instanceof DaypassError) throw thrown;
  // A host name with several addresses fails with an error for each of them, and with no words of its own.
  const cause: unknown = thrown instanceof AggregateError ? thrown.errors[0] : thrown;
  const sqlstate = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const [code, words] = REFUSALS[sqlstate] ?? ['database_unreachable', 'cannot be reached'];
  throw new DaypassError(code, `The database ${words}: ${messageOf(cause)}.`, { cause: thrown, hint: HINT });
}
