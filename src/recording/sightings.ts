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
