import type { Pool } from 'pg';
import { likeOf, listSessions, MATCHES, type SessionFilter, type SessionView } from './read.js';

/** A stretch of a recording in which something was found. */
export interface Hit {
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** What stands around the words that were looked for; empty when none were. */
  readonly excerpt: string;
}

export interface Found {
  readonly session: SessionView;
  /** The first few. */
  readonly hits: readonly Hit[];
}

/** How many hits of one session are told. */
const MOST_HITS = 3;
/** Characters on each side of what was found. */
const AROUND = 60;

/** Sessions in whose recordings something is found, the newest first. */
export async function searchSessions(
  pool: Pool,
  filter: SessionFilter,
  page: { readonly limit: number; readonly cursor?: string | undefined },
): Promise<{ readonly found: readonly Found[]; readonly next: string | null }> {
  const { sessions, next } = await listSessions(pool, filter, page);
  if (sessions.length === 0) return { found: [], next };
  const { rows } = await pool.query<Row>(
    `select i.session_id, i.first_seq, i.last_seq, i.text from unnest($1::uuid[]) as wanted(id), lateral (
       select session_id, first_seq, last_seq, text from block_index
       where session_id = wanted.id and ${MATCHES('$2', '$3', '$4')} order by first_seq limit ${MOST_HITS}) i`,
    [sessions.map(({ id }) => id), likeOf(filter.text), filter.on ?? null, filter.reason ?? null],
  );
  const hits = grouped(rows);
  const hitsOf = (id: string) => (hits.get(id) ?? []).map((row) => hitOf(row, filter.text));
  return { found: sessions.map((session) => ({ session, hits: hitsOf(session.id) })), next };
}

interface Row {
  readonly session_id: string;
  readonly first_seq: string;
  readonly last_seq: string;
  readonly text: string;
}

function grouped(rows: readonly Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(row.session_id, [...(groups.get(row.session_id) ?? []), row]);
  return groups;
}

function hitOf({ first_seq, last_seq, text }: Row, wanted: string | undefined): Hit {
  const at = wanted === undefined ? -1 : text.toLowerCase().indexOf(wanted.toLowerCase());
  const from = Math.max(0, at - AROUND);
  const excerpt = at === -1 ? '' : text.slice(from, at + (wanted ?? '').length + AROUND);
  return { firstSeq: Number(first_seq), lastSeq: Number(last_seq), excerpt };
}
