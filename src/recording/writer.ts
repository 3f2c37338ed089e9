import type { Pool, PoolClient } from 'pg';
import type { Block } from './block.js';
import { commitsWithAllBefore } from './database.js';
import type { Receipt, SessionRow } from './log.js';
import { type TimedQuery, timed } from './timed.js';

/** A session's row as it goes into a batch: a snapshot, so that the same batch can be written again. */
export interface RowWrite {
  readonly row: SessionRow;
  readonly receipt: Receipt | null;
  readonly lastSeq: number;
  readonly lastHash: Buffer;
}

/** What goes to Postgres in one commit: rows of sessions that opened or closed, and blocks (at least one). */
export interface Batch {
  readonly rows: readonly RowWrite[];
  readonly blocks: readonly Block[];
}

/**
 * A row that says that its session has ended changes with a block behind that end alone, never with one that was refused: whoever took
 * it for lost closed it, and until its own block is written the row names what stands there. That block opens it again, or ends it.
 */
const WRITE_ROWS = `
  insert into sessions (id, gateway_id, grant_id, service, protocol, principal, role, client, mode, policy_version,
    started_at, ended_at, end_reason, due_at, cut_at, bytes_after_due, last_seq, last_hash)
  select a, b, c, d, e, f, g, h, i, j, to_timestamp(k / 1e3), to_timestamp(l / 1e3), m, to_timestamp(n / 1e3),
    to_timestamp(o / 1e3), p, q, r
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::float8[], $12::float8[], $13::text[], $14::float8[], $15::float8[], $16::bigint[],
    $17::bigint[], $18::bytea[]) as x(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r)
  on conflict (id) do update set ended_at = excluded.ended_at, end_reason = excluded.end_reason, due_at = excluded.due_at,
    cut_at = excluded.cut_at, bytes_after_due = excluded.bytes_after_due, last_seq = excluded.last_seq,
    last_hash = excluded.last_hash
  where sessions.ended_at is null or exists (select from written where written.session_id = sessions.id)`;

/**
 * Blocks that stand already are left as they are. Their payloads are one parameter, of which each block has a part: bytes by
 * themselves go to the server as they are, bytes in an array as text, which takes ten times as long (ADR 0010).
 */
export const WRITE_BLOCKS = `
  insert into blocks (session_id, first_seq, last_seq, from_at, to_at, hash_before, hash_after, payload, format)
  select session_id, first_seq, last_seq, to_timestamp(from_at / 1000), to_timestamp(to_at / 1000), hash_before, hash_after,
    substring($1::bytea from start for size), format
  from unnest($2::int[], $3::int[], $4::uuid[], $5::bigint[], $6::bigint[], $7::float8[], $8::float8[], $9::bytea[],
    $10::bytea[], $11::smallint[])
    as given(start, size, session_id, first_seq, last_seq, from_at, to_at, hash_before, hash_after, format)
  on conflict (session_id, first_seq) do nothing`;
const BLOCK_PARAMETERS = 11;

/**
 * The same with the rows: one statement, so one round trip and one commit, which answers with a row for each block that was written.
 * It begins with what it is for, since `pg_stat_activity` shows the first kilobyte alone.
 */
const WRITE_BOTH = `/* insert into blocks, sessions */ with written as (${WRITE_BLOCKS} returning session_id),
  opened as (${WRITE_ROWS.replace(/\$(\d+)/g, (_, n) => `$${Number(n) + BLOCK_PARAMETERS}`)}) select from written`;

const OTHER_BLOCKS = `
  select ${commitsWithAllBefore('($1::uuid[])[1]::text')}, array(
    select distinct given.session_id::text
    from unnest($1::uuid[], $2::bigint[], $3::bytea[]) as given(session_id, first_seq, hash_after)
    left join blocks b using (session_id, first_seq)
    where b.hash_after is distinct from given.hash_after) as ids`;

const HEADS = `
  select distinct on (session_id) session_id::text as id, last_seq, hash_after from blocks
  where session_id = any($1::uuid[]) order by session_id, first_seq desc`;

/**
 * A server that has gone without a word would hold the recorder until TCP gives up. The connection is dropped then, and the
 * batch, whose outcome is unknown, is written again.
 */
const ANSWER_WITHIN = 10_000;

/**
 * Writes a batch in one statement, committed to disk before it resolves (the pool's connections run with
 * `synchronous_commit = on`). Writing the same batch twice changes nothing, so a batch whose outcome is unknown is simply
 * written again.
 * @returns the sessions in whose place another writer's block stands; the others' blocks are committed
 */
export async function writeBatch(pool: Pool, gatewayId: string, batch: Batch): Promise<ReadonlySet<string>> {
  const blocks = blockColumns(batch.blocks);
  const write: TimedQuery =
    batch.rows.length === 0
      ? { name: 'daypass-blocks', text: WRITE_BLOCKS, values: blocks, query_timeout: ANSWER_WITHIN }
      : {
          name: 'daypass-both',
          text: WRITE_BOTH,
          values: [...blocks, ...rowColumns(gatewayId, batch.rows)],
          query_timeout: ANSWER_WITHIN,
        };
  const written = await pool.query(write);
  if (written.rowCount === batch.blocks.length) return new Set();
  const { rows } = await pool.query<{ ids: string[] }>(timed(ANSWER_WITHIN, OTHER_BLOCKS, standing(batch.blocks)));
  return new Set(rows[0]?.ids);
}

/** Where a session's record ends in the database. */
export interface Head {
  readonly lastSeq: number;
  readonly hash: Buffer;
}

/** The ends of these sessions' records. */
export async function readHeads(
  pool: Pool | PoolClient,
  sessions: readonly string[],
): Promise<ReadonlyMap<string, Head>> {
  if (sessions.length === 0) return new Map();
  const ask = timed(ANSWER_WITHIN, HEADS, [sessions]);
  const { rows } = await pool.query<{ id: string; last_seq: string; hash_after: Buffer }>(ask);
  return new Map(rows.map((row) => [row.id, { lastSeq: Number(row.last_seq), hash: row.hash_after }]));
}

function rowColumns(gatewayId: string, writes: readonly RowWrite[]): unknown[][] {
  return [
    writes.map((write) => write.row.id),
    writes.map(() => gatewayId),
    writes.map((write) => write.row.grantId),
    writes.map((write) => write.row.service),
    writes.map((write) => write.row.protocol),
    writes.map((write) => write.row.principal),
    writes.map((write) => write.row.role),
    writes.map((write) => write.row.client),
    writes.map((write) => write.row.mode),
    writes.map((write) => write.row.policyVersion),
    writes.map((write) => write.row.startedAt),
    writes.map((write) => write.receipt?.endedAt ?? null),
    writes.map((write) => write.receipt?.reason ?? null),
    writes.map((write) => write.receipt?.dueAt ?? null),
    writes.map((write) => write.receipt?.cutAt ?? null),
    writes.map((write) => write.receipt?.bytesAfterDue ?? null),
    writes.map((write) => (write.receipt ? write.lastSeq : null)),
    writes.map((write) => (write.receipt ? write.lastHash : null)),
  ];
}

/** The parameters of `WRITE_BLOCKS`. */
export function blockColumns(blocks: readonly Block[]): unknown[] {
  const payloads = blocks.map((block) => block.payload);
  const starts: number[] = [];
  let start = 1; // as SQL counts
  for (const { byteLength } of payloads) {
    starts.push(start);
    start += byteLength;
  }
  return [
    payloads.length === 1 ? payloads[0] : Buffer.concat(payloads),
    starts,
    payloads.map(({ byteLength }) => byteLength),
    blocks.map((block) => block.sessionId),
    blocks.map((block) => block.firstSeq),
    blocks.map((block) => block.lastSeq),
    blocks.map((block) => block.fromAt),
    blocks.map((block) => block.toAt),
    blocks.map((block) => block.hashBefore),
    blocks.map((block) => block.hashAfter),
    blocks.map((block) => block.format),
  ];
}

/** The parameters of `OTHER_BLOCKS`. */
function standing(blocks: readonly Block[]): unknown[] {
  return [
    blocks.map((block) => block.sessionId),
    blocks.map((block) => block.firstSeq),
    blocks.map((block) => block.hashAfter),
  ];
}
