import type { Pool } from 'pg';
import { DaypassError } from '../errors.js';
import { readBlocks } from './blocks.js';
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

const PAGE = 200;
const MOST = 1_000;

interface Row extends StoredSession {
  last_seq: string | null;
  last_hash: Buffer | null;
}

/** Every id that has a row or a block, so that deleting a row does not hide its blocks. */
const IDS = `
  select id from (select id from sessions where id > $1 union select distinct session_id from blocks where session_id > $1) as known
  order by id limit ${PAGE}`;

const ROW = 'select * from sessions where id = $1';

/** Numbers as `pg` takes them exactly: no session has more of anything than a double holds. */
const INDEXED = `
  select first_seq::float8 as first, last_seq::float8 as last, actions, denied, rows::float8, bytes_in::float8 as "bytesIn",
    bytes_out::float8 as "bytesOut"
  from block_index where session_id = $1 order by first_seq`;

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

/** Checks every session's record, one after the other. */
export async function verifyAll(pool: Pool): Promise<Verified> {
  let sessions = 0;
  let events = 0;
  let open = 0;
  const findings: Finding[] = [];
  let after: string | undefined = '00000000-0000-0000-0000-000000000000';
  while (after !== undefined) {
    const ids: string[] = (await pool.query<{ id: string }>(IDS, [after])).rows.map(({ id }) => id);
    for (const id of ids) {
      const { check, row } = await follow(pool, id);
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

/**
 * Its row, and what the index has, are read before its blocks: a session that ends meanwhile must not look truncated, nor to end elsewhere
 * than its row says.
 */
async function follow(pool: Pool, session: string): Promise<{ check: ChainCheck; row: ClaimedSession | null }> {
  for (let left = LOOKS; ; left -= 1) {
    const row = await rowOf(pool, session);
    const indexed = (await pool.query<IndexedStretch>(INDEXED, [session])).rows;
    const check = new ChainCheck(session, row, indexed);
    for await (const block of readBlocks(pool, session)) check.block(block);
    const hasMoved = row !== null && (check.isClosed || row.closing !== null) && row.lastSeq !== check.last.seq;
    if (hasMoved && left > 1) continue;
    check.end();
    return { check, row };
  }
}

async function rowOf(pool: Pool, session: string): Promise<ClaimedSession | null> {
  const [row] = (await pool.query<Row>(ROW, [session])).rows;
  if (row === undefined) return null;
  return {
    ...claimedFacts(row),
    startedAt: row.started_at.getTime(),
    lastSeq: row.last_seq === null ? null : Number(row.last_seq),
    lastHash: row.last_hash,
  };
}
