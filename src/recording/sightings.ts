import type { ClientBase, Pool } from 'pg';
import type { IndexRow } from './summary.js';

/** Whose session it was stands in the session's row, which is there before any of its events. */
const WRITE = `
  insert into secret_sightings (session_id, principal, service, secret, at)
  select distinct on (given.session_id, given.secret) s.id, s.principal, s.service, given.secret, given.at
  from json_to_recordset($1::json) as given(session_id uuid, secret text, at timestamptz)
  join sessions s on s.id = given.session_id
  order by given.session_id, given.secret, given.at
  on conflict (session_id, secret) do update set at = least(secret_sightings.at, excluded.at)`;

/**
 * Writes which secrets these stretches of sessions had seen; writing them twice changes nothing. None is ever taken back, not
 * even by a rebuild that cannot read its block any more: better one secret replaced too many.
 */
export async function writeSightings(
  database: Pool | ClientBase,
  rows: readonly Pick<IndexRow, 'sessionId' | 'sightings'>[],
): Promise<void> {
  const seen = rows.flatMap(({ sessionId, sightings }) =>
    sightings.map(({ secret, at }) => ({ session_id: sessionId, secret, at: new Date(at) })),
  );
  if (seen.length > 0) await database.query({ text: WRITE, values: [JSON.stringify(seen)] });
}

/** A secret that somebody's sessions were sent: whoever ends their access has it replaced. */
export interface SecretSeen {
  readonly service: string;
  /** As the policy words it: `env ORDERS_DB_PASSWORD`. */
  readonly secret: string;
  /** Milliseconds since the epoch. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** Their ids, the oldest first. */
  readonly sessions: readonly string[];
}

const SEEN = `
  select service, secret, min(at) as first_at, max(at) as last_at, array_agg(session_id::text order by session_id) as sessions
  from secret_sightings where principal = $1 group by service, secret order by service, secret`;

/**
 * The injected secrets that services sent to a person's sessions. The index is written behind the recording: what was
 * recorded in the last second may not be among them yet.
 */
export async function secretsSeen(database: Pool | ClientBase, principal: string): Promise<readonly SecretSeen[]> {
  const { rows } = await database.query<{
    service: string;
    secret: string;
    first_at: Date;
    last_at: Date;
    sessions: string[];
  }>(SEEN, [principal]);
  return rows.map(({ service, secret, first_at, last_at, sessions }) => ({
    service,
    secret,
    firstAt: first_at.getTime(),
    lastAt: last_at.getTime(),
    sessions,
  }));
}
