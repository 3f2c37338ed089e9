import type { ClientBase, Pool } from 'pg';
import { writeSightings } from './sightings.js';
import type { IndexRow } from './summary.js';

/**
 * One statement for any number of rows. JSON instead of `unnest`, which would flatten the arrays within the rows.
 * A stretch that is indexed already, by a rebuild or by the same rows written before, is left as it is.
 */
const WRITE = `
  insert into block_index (session_id, first_seq, last_seq, from_at, to_at, actions, denied, verbs, targets, reasons, rows,
    bytes_in, bytes_out, text, rules)
  select given.* from json_to_recordset($1::json) as given(session_id uuid, first_seq bigint, last_seq bigint,
    from_at timestamptz, to_at timestamptz, actions integer, denied integer, verbs text[], targets text[], reasons text[],
    rows bigint, bytes_in bigint, bytes_out bigint, text text, rules text[])
  where not exists (select from block_index there where there.session_id = given.session_id
    and there.first_seq <= given.last_seq and there.last_seq >= given.first_seq)
  on conflict (session_id, first_seq) do nothing`;

/** Writes rows of the index; writing them twice changes nothing. */
export async function writeIndexRows(database: Pool | ClientBase, rows: readonly IndexRow[]): Promise<void> {
  if (rows.length === 0) return;
  // Before the rows that say how far the index goes: what those cover is there.
  await writeSightings(database, rows);
  await database.query({ name: 'daypass-index', text: WRITE, values: [JSON.stringify(rows.map(columns))] });
}

function columns(row: IndexRow): Record<string, unknown> {
  return {
    session_id: row.sessionId,
    first_seq: row.firstSeq,
    last_seq: row.lastSeq,
    from_at: new Date(row.fromAt),
    to_at: new Date(row.toAt),
    actions: row.actions,
    denied: row.denied,
    verbs: row.verbs,
    targets: row.targets,
    reasons: row.reasons,
    rows: row.rows,
    bytes_in: row.bytesIn,
    bytes_out: row.bytesOut,
    text: row.text,
    rules: row.rules,
  };
}
