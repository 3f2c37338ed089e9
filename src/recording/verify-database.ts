import type { Pool } from 'pg';
import { DaypassError } from '../errors.js';
import { readBlocks } from './blocks.js';
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

interface Row {
  id: string;
  grant_id: string | null;
  service: string;
  principal: string;
  role: string;
  client: string;
  policy_version: string;
  ended: boolean;
  end_reason: string | null;
  last_seq: string | null;
  last_hash: Buffer | null;
}

/** Every id that has a row or a block, so that deleting a row does not hide its blocks. */
const IDS = `
  select id from (select id from sessions where id > $1 union select distinct session_id from blocks where session_id > $1) as known
  order by id limit ${PAGE}`;

const ROWS = `
  select id, grant_id, service, principal, role, client, policy_version, ended_at is not null as ended, end_reason, last_seq,
    last_hash from sessions where id = any($1)`;

/**
 * Checks one session's record.
 * @throws DaypassError `unknown_session` when there is neither a row nor a block
 */
export async function verifySession(pool: Pool, session: string): Promise<Verified> {
  const row = await rowOf(pool, session);
  const check = await follow(pool, session, row);
  if (
    row === null &&
    check.events === 0 &&
    check.findings.every(({ fault }) => fault === 'no_row' || fault === 'missing')
  ) {
    throw new DaypassError('unknown_session', `There is no session ${session}.`);
  }
  const { events, findings, last } = check;
  return { sessions: 1, events, findings, open: row?.ended === false ? 1 : 0, last };
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
      // Read one by one and just before its blocks: a session that ends meanwhile must not look truncated.
      const row = await rowOf(pool, id);
      const check = await follow(pool, id, row);
      sessions += 1;
      events += check.events;
      if (row?.ended === false) open += 1;
      if (findings.length < MOST) findings.push(...check.findings);
    }
    after = ids[PAGE - 1];
  }
  return { sessions, events, findings: findings.slice(0, MOST), open };
}

async function follow(pool: Pool, session: string, row: ClaimedSession | null): Promise<ChainCheck> {
  const check = new ChainCheck(session, row);
  for await (const block of readBlocks(pool, session)) check.block(block);
  check.end();
  return check;
}

async function rowOf(pool: Pool, session: string): Promise<ClaimedSession | null> {
  const { rows } = await pool.query<Row>(ROWS, [[session]]);
  const row = rows[0];
  if (row === undefined) return null;
  return {
    id: row.id,
    grantId: row.grant_id ?? '',
    service: row.service,
    principal: row.principal,
    role: row.role,
    client: row.client,
    policyVersion: row.policy_version,
    ended: row.ended,
    endReason: row.end_reason,
    lastSeq: row.last_seq === null ? null : Number(row.last_seq),
    lastHash: row.last_hash,
  };
}
