import { setImmediate } from 'node:timers/promises';
import type { Pool } from 'pg';
import { DaypassError } from '../errors.js';
import { blocksOf, readBlocks, type StoredBlock } from './blocks.js';
import type { IndexedStretch } from './index-check.js';
import { claimedFacts, type StoredSession } from './row-facts.js';
import { ChainCheck, type ChainEnd, type ClaimedSession, type Finding } from './verify.js';

/** What a verification found. */
export interface Verified {
  readonly sessions: number;
  readonly events: number;
  /** Empty when every chain holds. At most `MOST` of them. */
  readonly findings: readonly Finding[];
  /** Sessions that go on: the end of their records is not fixed yet, so a cut-off end could not be told. */
  readonly open: number;
  /** Of one session: where its record ends. */
  readonly last?: ChainEnd;
}

const PAGE = 50;
const MOST = 1_000;

/** What a short session may have at most: so many are read together that it bounds the memory. */
const SHORT_BLOCKS = 16;
const SHORT_BYTES = 64 * 1024;

interface Row extends StoredSession {
  id: string;
  last_seq: string | null;
  last_hash: Buffer | null;
}

/** Every id that has a row or a block, so that deleting a row does not hide its blocks. */
const IDS = `
  (select id from sessions where id > $1 order by id limit ${PAGE})
  union (select distinct session_id from blocks where session_id > $1 order by session_id limit ${PAGE})
  order by id limit ${PAGE}`;

const ROWS = 'select * from sessions where id = any($1)';

/** Those that have ended, and have little. */
const SHORT_ROWS = `${ROWS} and ended_at is not null and (
  select count(*) <= ${SHORT_BLOCKS} and sum(octet_length(payload)) <= ${SHORT_BYTES} from blocks where session_id = id)`;

/** Numbers as `pg` takes them exactly: no session has more of anything than a double holds. */
const INDEXED = `
  select session_id as session, first_seq::float8 as first, last_seq::float8 as last, actions, denied, rows::float8,
    bytes_in::float8 as "bytesIn", bytes_out::float8 as "bytesOut"
  from block_index where session_id = any($1) order by session_id, first_seq`;

/** What there is of a session, in the order in which it has to be read. */
interface Kept {
  readonly row: ClaimedSession | null;
  readonly indexed: readonly IndexedStretch[];
  readonly blocks: AsyncIterable<StoredBlock> | Iterable<StoredBlock>;
}

/**
 * Checks one session's record.
 * @throws DaypassError `unknown_session` when there is neither a row nor a block
 */
export async function verifySession(pool: Pool, session: string): Promise<Verified> {
  const { check, row } = await follow(pool, session);
  if (
    row === null &&
    check.events === 0 &&
    check.findings.every(({ fault }) => fault === 'no_row' || fault === 'missing')
  ) {
    throw new DaypassError('unknown_session', `There is no session ${session}.`);
  }
  const { events, findings, last } = check;
  return { sessions: 1, events, findings, open: row?.closing === null ? 1 : 0, last };
}

/**
 * Checks every session's record. Short ones are read many at a time: what takes long is the way to the ledger and back.
 * @param still - called before each; what it throws ends it
 */
export async function verifyAll(pool: Pool, still: () => void = () => {}): Promise<Verified> {
  let sessions = 0;
  let events = 0;
  let open = 0;
  const findings: Finding[] = [];
  let after: string | undefined = '00000000-0000-0000-0000-000000000000';
  while (after !== undefined) {
    const ids: string[] = (await pool.query<{ id: string }>(IDS, [after])).rows.map(({ id }) => id);
    const short = await shortOnes(pool, ids);
    for (const id of ids) {
      await setImmediate(); // whoever is to be cut must not wait until all of these are counted
      still();
      const { check, row } = await follow(pool, id, short.get(id));
      sessions += 1;
      events += check.events;
      if (row?.closing === null) open += 1;
      if (findings.length < MOST) findings.push(...check.findings);
    }
    after = ids[PAGE - 1];
  }
  return { sessions, events, findings: findings.slice(0, MOST), open };
}

/** How often a session is looked at that ends, or goes on behind the block of who took it for lost, while it is read. */
const LOOKS = 3;

/** @param found - what was read of it before: the first look is at that */
async function follow(
  pool: Pool,
  session: string,
  found?: Kept,
): Promise<{ check: ChainCheck; row: ClaimedSession | null }> {
  for (let left = LOOKS; ; left -= 1) {
    const { row, indexed, blocks } = (left === LOOKS ? found : undefined) ?? (await kept(pool, session));
    const check = new ChainCheck(session, row, indexed);
    for await (const block of blocks) check.block(block);
    const hasMoved = row !== null && (check.isClosed || row.closing !== null) && row.lastSeq !== check.last.seq;
    if (hasMoved && left > 1) continue;
    check.end();
    return { check, row };
  }
}

/**
 * A session's row, and what the index has, are read before its blocks: a session that ends meanwhile must not look truncated, nor to end
 * elsewhere than its row says.
 */
async function kept(pool: Pool, session: string): Promise<Kept> {
  const [row] = (await pool.query<Row>(ROWS, [[session]])).rows;
  const indexed = (await pool.query<IndexedStretch>(INDEXED, [[session]])).rows;
  return { row: row === undefined ? null : claimed(row), indexed, blocks: readBlocks(pool, session) };
}

/** The same of those among `ids` that are short. */
async function shortOnes(pool: Pool, ids: readonly string[]): Promise<ReadonlyMap<string, Kept>> {
  const { rows } = await pool.query<Row>(SHORT_ROWS, [ids]);
  const those = rows.map(({ id }) => id);
  const indexed = await pool.query<IndexedStretch & { session: string }>(INDEXED, [those]);
  const short = new Map(
    rows.map((row) => [row.id, { row: claimed(row), indexed: [] as IndexedStretch[], blocks: [] as StoredBlock[] }]),
  );
  for (const stretch of indexed.rows) short.get(stretch.session)?.indexed.push(stretch);
  for (const block of await blocksOf(pool, those)) short.get(block.sessionId)?.blocks.push(block);
  return short;
}

function claimed(row: Row): ClaimedSession {
  return {
    ...claimedFacts(row),
    startedAt: Number(row.started_at),
    lastSeq: row.last_seq === null ? null : Number(row.last_seq),
    lastHash: row.last_hash,
  };
}
