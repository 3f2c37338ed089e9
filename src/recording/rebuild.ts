import type { Pool, PoolClient } from 'pg';
import { eventsOf, readBlocks } from './blocks.js';
import { writeIndexRows } from './index-rows.js';
import { type IndexRow, summarise } from './summary.js';
import { inTransaction } from './transaction.js';

/** What a rebuild did. */
export interface Rebuilt {
  readonly sessions: number;
  readonly rows: number;
  /** Sessions with a block that could not be read: `daypass verify` says where. */
  readonly unreadable: readonly string[];
}

const PAGE = 500;
const ROWS_A_WRITE = 200;
/** A session that ended longer ago has nothing left in any gateway's memory. */
const SETTLED = `(s.ended_at < now() - interval '10 seconds' or not exists (
  select from gateways g where g.id = s.gateway_id and g.seen_at > now() - interval '45 seconds'))`;

/**
 * Rebuilds the index from the blocks: of one session, or of all. Sessions that are still being written keep what their
 * gateway has not indexed yet: only what it has indexed already is made anew.
 */
export async function rebuildIndex(pool: Pool, { session }: { readonly session?: string } = {}): Promise<Rebuilt> {
  let sessions = 0;
  let rows = 0;
  const unreadable: string[] = [];
  for await (const id of session === undefined ? allSessions(pool) : [session]) {
    const made = await inTransaction(pool, (client) => rebuildSession(client, id));
    sessions += 1;
    rows += made.rows;
    if (!made.readable) unreadable.push(id);
  }
  return { sessions, rows, unreadable };
}

async function* allSessions(pool: Pool): AsyncGenerator<string> {
  let after: string | undefined = '00000000-0000-0000-0000-000000000000';
  while (after !== undefined) {
    const answer: { rows: { id: string }[] } = await pool.query(
      `select id from sessions where id > $1 order by id limit ${PAGE}`,
      [after],
    );
    for (const { id } of answer.rows) yield id;
    after = answer.rows[PAGE - 1]?.id;
  }
}

async function rebuildSession(client: PoolClient, id: string): Promise<{ rows: number; readable: boolean }> {
  // Two rebuilds of a session at once would both delete and both insert.
  await client.query(`select pg_advisory_xact_lock(hashtextextended('daypass index ' || $1, 0))`, [id]);
  const until = await indexedUntil(client, id);
  await client.query('delete from block_index where session_id = $1 and first_seq <= $2', [id, until]);
  let waiting: IndexRow[] = [];
  let rows = 0;
  let readable = true;
  for await (const block of readBlocks(client, id)) {
    if (block.firstSeq > Number(until)) break;
    const row = rowOf(id, block, Number(until));
    if (row === 'unreadable') readable = false;
    else if (row !== null) waiting.push(row);
    if (waiting.length < ROWS_A_WRITE) continue;
    await writeIndexRows(client, waiting);
    rows += waiting.length;
    waiting = [];
  }
  await writeIndexRows(client, waiting);
  return { rows: rows + waiting.length, readable };
}

function rowOf(id: string, block: Parameters<typeof eventsOf>[0], until: number): IndexRow | null | 'unreadable' {
  try {
    return summarise(
      id,
      eventsOf(block).filter((event) => event.seq <= until),
    );
  } catch {
    return 'unreadable';
  }
}

const EVERYTHING = '9223372036854775807';

/** Up to which event the index is the rebuild's to make: all of a settled session, of a live one what is indexed already. */
async function indexedUntil(client: PoolClient, id: string): Promise<string> {
  const { rows } = await client.query<{ settled: boolean; until: string }>(
    `select ${SETTLED} as settled, coalesce((select max(last_seq) from block_index where session_id = s.id), 0) as until
     from sessions s where s.id = $1`,
    [id],
  );
  const row = rows[0];
  return row === undefined || row.settled ? EVERYTHING : row.until;
}
