import type { Pool, PoolClient } from 'pg';
import { DaypassError } from '../errors.js';
import { unpackBlock } from './block.js';
import { decodeEvent } from './chain.js';
import type { RecordedEvent } from './event.js';

/** A block as the database has it; nothing about it is believed. Times are milliseconds since the epoch. */
export interface StoredBlock {
  readonly sessionId: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly fromAt: number;
  readonly toAt: number;
  readonly hashBefore: Buffer;
  readonly hashAfter: Buffer;
  readonly payload: Buffer;
  readonly format: number;
}

/** How many blocks are held in memory at a time. */
const PAGE = 16;

interface Row {
  session_id: string;
  first_seq: string;
  last_seq: string;
  from_at: Date;
  to_at: Date;
  hash_before: Buffer;
  hash_after: Buffer;
  payload: Buffer;
  format: number;
}

const COLUMNS = 'session_id, first_seq, last_seq, from_at, to_at, hash_before, hash_after, payload, format';

/** The blocks of some sessions, those of each in order: all at once, so they have to be few. */
export async function blocksOf(database: Pool | PoolClient, sessionIds: readonly string[]): Promise<StoredBlock[]> {
  const { rows } = await database.query<Row>(
    `select ${COLUMNS} from blocks where session_id = any($1) order by session_id, first_seq`,
    [sessionIds],
  );
  return rows.map(storedBlock);
}

/** The blocks of a session in order, a few at a time. @param after - the first event of the block before */
export async function* readBlocks(
  database: Pool | PoolClient,
  sessionId: string,
  after = '-9223372036854775808',
): AsyncGenerator<StoredBlock> {
  for (;;) {
    const { rows } = await database.query<Row>(
      `select ${COLUMNS} from blocks
       where session_id = $1 and first_seq > $2 order by first_seq limit ${PAGE}`,
      [sessionId, after],
    );
    for (const row of rows) yield storedBlock(row);
    const last = rows[rows.length - 1];
    if (last === undefined || rows.length < PAGE) return;
    after = last.first_seq;
  }
}

function storedBlock(row: Row): StoredBlock {
  return {
    sessionId: row.session_id,
    firstSeq: Number(row.first_seq),
    lastSeq: Number(row.last_seq),
    fromAt: Number(row.from_at),
    toAt: Number(row.to_at),
    hashBefore: row.hash_before,
    hashAfter: row.hash_after,
    payload: row.payload,
    format: row.format,
  };
}

/**
 * The events of a block.
 * @throws DaypassError `record_damaged` when it cannot be read
 */
export function eventsOf(block: StoredBlock): RecordedEvent[] {
  try {
    return unpackBlock(block.payload, block.format).map(decodeEvent);
  } catch (cause) {
    throw new DaypassError(
      'record_damaged',
      `The record of session ${block.sessionId} cannot be read at event ${block.firstSeq}.`,
      { cause, hint: `Run \`daypass verify ${block.sessionId}\`.` },
    );
  }
}

/**
 * The events of a session in order, read block by block, so that a long recording does not need its size in memory.
 * @param still - called before each block; what it throws ends it
 * @throws DaypassError `record_damaged` when a block cannot be read, and what `still` throws
 */
export async function* readEvents(
  database: Pool | PoolClient,
  sessionId: string,
  still: () => Promise<void> = async () => {},
): AsyncGenerator<RecordedEvent> {
  for await (const block of readBlocks(database, sessionId)) {
    await still();
    yield* eventsOf(block);
  }
}
