import pg from 'pg';
import { DaypassError, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { endsWithUs, examineConnection } from './examine.js';
import { GivenUp } from './given-up.js';

/** The schema that holds everything Daypass writes. */
export const SCHEMA = 'daypass';

/**
 * Set in the startup packet, so that a pooler or RESET cannot lose them. `synchronous_commit=on` is pinned because
 * "committed" must mean "on disk" here, whatever the server's default is.
 */
const SESSION_SETTINGS = `-c search_path=${SCHEMA} -c synchronous_commit=on`;

/**
 * So long the server waits for a lock, unless it or the URL is told otherwise, milliseconds: about as long as anybody here waits for an
 * answer. It does not hear that a connection was dropped while it waits, so whoever asks again and again would leave one behind each time,
 * until there are none for anybody.
 */
const LOCK_WAIT = 10_000;

/**
 * For a statement that may find standing what it was to write, and says then that it is committed. Its commit may not have been waited for
 * to its end: after a crash of the server, or a wait that was cancelled, it can be seen before the synchronous standby has it. The
 * message means nothing; by it the statement writes, and its own commit waits until the standby has all that was written before, too. Nothing
 * ends that wait, so whoever asks again waits for the lock instead, and not without end: each would leave a connection there.
 * @param what - of which one statement at a time commits, an SQL expression
 */
export function commitsWithAllBefore(what: string): string {
  return `pg_advisory_xact_lock(hashtextextended('daypass commits ' || ${what}, 0)), pg_logical_emit_message(true, 'daypass', ''::text)`;
}

/**
 * Opens a pool on the ledger. Connecting (and waiting for a free connection) takes at most 2 s; how long a query may
 * take is its caller's to say, or the pool's: `answerWithin`, milliseconds, holds for each of its queries, those of
 * transactions too. `locksWithin`, for who asks again sooner, stands in for `LOCK_WAIT`. An idle connection that breaks is logged and
 * replaced, never thrown; of one in use its query tells.
 * @param connection - a `postgres://` URL or what `pg` takes
 */
export function openDatabase(
  connection: string | pg.PoolConfig,
  options: { max?: number; applicationName?: string; answerWithin?: number; locksWithin?: number; log?: Log } = {},
): pg.Pool {
  const given = typeof connection === 'string' ? fromUrl(connection) : connection;
  const lockWait = `-c lock_timeout=${options.locksWithin ?? LOCK_WAIT}`;
  const max = options.max ?? 8;
  const givenUp = new GivenUp(max, options.log);
  const pool = new pg.Pool({
    ...given,
    max,
    application_name: options.applicationName ?? 'daypass',
    options: [lockWait, given.options, SESSION_SETTINGS].filter(Boolean).join(' '),
    connectionTimeoutMillis: 2_000,
    idleTimeoutMillis: 30_000,
    ...(options.answerWithin === undefined ? {} : { query_timeout: options.answerWithin }),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    // Not `verify`: a connection that was examined only after whoever waits in the pool's queue had given up came back to nobody,
    // and its place was taken for good.
    onConnect: (client) => examined(client, givenUp),
  });
  pool.on('release', (error, client) => givenUp.released(client, Boolean(error)));
  pool.on('error', (error) => options.log?.warn({ error: messageOf(error) }, 'a database connection broke'));
  // Of one that is in use the pool hears nothing. The query under way, or the next, tells; unheard it would end the process.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** What a new connection has to be, before anybody has it. @throws what is wrong with it: it is closed */
async function examined(client: pg.ClientBase, givenUp: GivenUp): Promise<void> {
  try {
    await examineConnection(client, SCHEMA);
    await endsWithUs(client);
    await givenUp.examine(client);
  } catch (thrown) {
    // Whose server answered, and is none for us, is not in the middle of anything.
    if (!(thrown instanceof DaypassError)) givenUp.dropped(client);
    throw thrown;
  }
}

/** `pg` lets the URL's `options` overwrite the ones given beside it: take them out, so that both can be sent. */
function fromUrl(url: string): pg.PoolConfig {
  const [address = '', query] = url.split('?', 2);
  if (query === undefined) return { connectionString: url };
  const parameters = new URLSearchParams(query);
  const options = parameters.get('options');
  if (options === null) return { connectionString: url };
  parameters.delete('options');
  return { connectionString: `${address}?${parameters}`, options };
}
