import type { PoolClient } from 'pg';
import { iso } from '../clock.js';
import { DaypassError } from '../errors.js';
import { eventsOf, type StoredBlock } from '../recording/blocks.js';
import type { Facts, Json, RecordedEvent } from '../recording/event.js';
import { claimedFacts, type StoredSession } from '../recording/row-facts.js';
import { Summary } from '../recording/summary.js';
import { timeOfUuid7 } from '../recording/uuid7.js';
import type { CloseOutDenial, CloseOutSession } from './closeout-record.js';

/** How many sessions are read at a time, and how many blocks of their recordings. */
const PAGE = 1_000;
const BLOCKS = 32;
/** How many denials are listed one by one. */
const LISTED = 1_000;

const SESSIONS = `
  select s.id, s.gateway_id, s.grant_id, s.service, s.protocol, s.principal, s.role, s.client, s.mode, s.policy_version, s.started_at,
    s.ended_at, s.end_reason, s.due_at, s.cut_at, s.bytes_after_due, coalesce(s.last_seq, b.last_seq, 0)::text as last_seq,
    encode(coalesce(s.last_hash, b.hash_after), 'hex') as head, i.*
  from sessions s
  left join lateral (
    select last_seq, hash_after from blocks where session_id = s.id order by first_seq desc limit 1) b on true
  left join lateral (
    select coalesce(sum(last_seq - first_seq + 1), 0)::text as indexed, coalesce(sum(actions), 0)::text as actions,
      coalesce(sum(rows), 0)::text as rows, coalesce(sum(bytes_in), 0)::text as bytes_in,
      coalesce(sum(bytes_out), 0)::text as bytes_out
    from block_index where session_id = s.id) i on true
  where s.grant_id = any($1) and s.id > $2 order by s.id limit ${PAGE}`;

/** How each begins and ends, and where something was refused, as the index says; what that does not cover is read whole. */
const EVIDENCE = `
  select b.session_id, b.first_seq, b.last_seq, b.from_at, b.to_at, b.hash_before, b.hash_after, b.payload, b.format
  from blocks b
  where b.session_id = any($1) and (b.session_id, b.first_seq) > ($3::uuid, $4::bigint) and (b.session_id = any($2) or b.first_seq = 1
    or not exists (select from blocks l where l.session_id = b.session_id and l.first_seq > b.first_seq) or exists (
    select from block_index i where i.session_id = b.session_id and i.denied > 0 and i.first_seq <= b.last_seq
      and i.last_seq >= b.first_seq))
  order by b.session_id, b.first_seq limit ${BLOCKS}`;

const FIRST = '00000000-0000-0000-0000-000000000000';

/** The sessions of some grants, in order, with what was refused in them. */
export interface EngagementSessions {
  readonly sessions: readonly CloseOutSession[];
  readonly listed: readonly CloseOutDenial[];
}

/**
 * Counts come from the index; denials, how each session began and how it ended from the recordings themselves, and so do the counts of a
 * session that the index does not cover to its end (a live one, mostly). Some dozen queries for a thousand sessions.
 */
export async function readEngagementSessions(
  client: PoolClient,
  grants: readonly string[],
): Promise<EngagementSessions> {
  const sessions: CloseOutSession[] = [];
  const listed: CloseOutDenial[] = [];
  for (let after = FIRST; ; ) {
    const { rows } = await client.query<Row>(SESSIONS, [grants, after]);
    if (rows.length > 0) sessions.push(...(await withDenials(client, rows, listed)));
    const last = rows[rows.length - 1];
    if (last === undefined || rows.length < PAGE) return { sessions, listed };
    after = last.id;
  }
}

/** What the evidence says of one session. */
interface Reading {
  /** The facts of its first event, and of its last if that closed it. */
  opening: Facts | null;
  closing: Facts | null;
  readonly denials: Map<string, number>;
  /** Counts it anew; null where the index has it. */
  summary: Summary | null;
  readonly uncounted: boolean;
  unreadable: boolean;
}

async function withDenials(client: PoolClient, rows: readonly Row[], listed: CloseOutDenial[]) {
  const uncounted = (row: Row) => row.indexed !== row.last_seq;
  const readings = new Map(
    rows.map((row): [string, Reading] => [
      row.id,
      {
        ...{ opening: null, closing: null, denials: new Map(), summary: null },
        ...{ uncounted: uncounted(row), unreadable: false },
      },
    ]),
  );
  const whole = rows.filter(uncounted).map(({ id }) => id);
  for await (const block of evidence(client, [...readings.keys()], whole)) {
    const reading = readings.get(block.sessionId);
    if (reading !== undefined) read(block, reading, listed);
  }
  return rows.map((row) => sessionOf(row, readings.get(row.id)));
}

async function* evidence(client: PoolClient, ids: readonly string[], whole: readonly string[]) {
  for (let [session, seq] = [FIRST, '0']; ; ) {
    const { rows } = await client.query<BlockRow>(EVIDENCE, [ids, whole, session, seq]);
    for (const row of rows) yield blockOf(row);
    const last = rows[rows.length - 1];
    if (last === undefined || rows.length < BLOCKS) return;
    [session, seq] = [last.session_id, last.first_seq];
  }
}

function read(block: StoredBlock, reading: Reading, listed: CloseOutDenial[]): void {
  for (const event of readable(block, reading)) {
    if (reading.uncounted) {
      reading.summary ??= new Summary(block.sessionId, event);
      reading.summary.add(event);
    }
    const { kind, facts, seq, at } = event;
    if (seq === 1) reading.opening = facts;
    reading.closing = kind === 'close' ? facts : null;
    if (kind !== 'action' || facts.outcome !== 'deny') continue;
    const reason = facts.reason ?? 'unknown';
    reading.denials.set(reason, (reading.denials.get(reason) ?? 0) + 1);
    if (listed.length >= LISTED) continue;
    const { verb = '', on = [], rule = '' } = facts;
    listed.push({
      session: block.sessionId,
      ...{ seq, at: new Date(at).toISOString(), verb, on: [...on], reason, rule },
    });
  }
}

function readable(block: StoredBlock, reading: Reading): readonly RecordedEvent[] {
  try {
    return eventsOf(block);
  } catch (thrown) {
    if (!(thrown instanceof DaypassError)) throw thrown;
    reading.unreadable = true;
    return [];
  }
}

/** What stands in the record counts; the row tells what an older one, or one that cannot be read, does not say. */
function sessionOf(row: Row, reading: Reading | undefined): CloseOutSession {
  const claimed = claimedFacts(row);
  const opening = { ...claimed.opening, ...reading?.opening };
  const closing = { ...claimed.closing, ...reading?.closing };
  const counted = reading?.summary?.row();
  const denials = [...(reading?.denials ?? [])].sort(([one], [other]) => (one < other ? -1 : 1));
  return {
    id: row.id,
    ...{ grant: row.grant_id, protocol: words(opening.protocol), client: words(opening.client) },
    ...{ mode: words(opening.mode), policyVersion: words(opening.policy), gateway: words(opening.gateway) },
    from: iso(reading?.opening ? timeOfUuid7(row.id) : row.started_at.getTime()),
    ...{ to: time(closing.endedAt), endReason: closing.reason ?? null },
    ...{ dueAt: time(closing.dueAt), cutAt: time(closing.cutAt) },
    bytesAfterDue: typeof closing.bytesAfterDue === 'number' ? closing.bytesAfterDue : null,
    actions: counted?.actions ?? Number(row.actions),
    rows: counted?.rows ?? Number(row.rows),
    bytesIn: counted?.bytesIn ?? Number(row.bytes_in),
    bytesOut: counted?.bytesOut ?? Number(row.bytes_out),
    denials: Object.fromEntries(denials),
    ...{ lastSeq: Number(row.last_seq), head: row.head, unreadable: reading?.unreadable ?? false },
  };
}

function words(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

function time(value: Json | undefined): string | null {
  return typeof value === 'string' && !Number.isNaN(Date.parse(value)) ? iso(Date.parse(value)) : null;
}

interface Row extends StoredSession {
  readonly id: string;
  readonly last_seq: string;
  readonly head: string | null;
  readonly indexed: string;
  readonly actions: string;
  readonly rows: string;
  readonly bytes_in: string;
  readonly bytes_out: string;
}

interface BlockRow {
  readonly session_id: string;
  readonly first_seq: string;
  readonly last_seq: string;
  readonly from_at: Date;
  readonly to_at: Date;
  readonly hash_before: Buffer;
  readonly hash_after: Buffer;
  readonly payload: Buffer;
  readonly format: number;
}

function blockOf(row: BlockRow): StoredBlock {
  return {
    sessionId: row.session_id,
    ...{ firstSeq: Number(row.first_seq), lastSeq: Number(row.last_seq) },
    ...{ fromAt: row.from_at.getTime(), toAt: row.to_at.getTime() },
    ...{ hashBefore: row.hash_before, hashAfter: row.hash_after, payload: row.payload, format: row.format },
  };
}
