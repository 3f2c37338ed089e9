import type { Pool } from 'pg';
import { DaypassError } from '../errors.js';
import type { Door } from '../grant/record.js';
import { pageOf } from './page.js';
import { timed } from './timed.js';

/** A session as reviewers see it. Times are milliseconds since the epoch. */
export interface SessionView {
  readonly id: string;
  readonly gatewayId: string;
  readonly grantId: string;
  readonly service: string;
  readonly protocol: string;
  readonly principal: string;
  readonly role: string;
  readonly client: string;
  readonly mode: string;
  readonly policyVersion: string;
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly endReason: string | null;
  readonly dueAt: number | null;
  readonly cutAt: number | null;
  readonly bytesAfterDue: number | null;
  readonly counts: SessionCounts;
}

/** What the index counts of a session; it may be about a second behind the record. */
export interface SessionCounts {
  readonly actions: number;
  readonly denied: number;
  readonly rows: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface SessionFilter {
  readonly person?: string;
  readonly service?: string;
  /** Only of one of these. */
  readonly services?: readonly string[];
  /** Sessions that began at this time or later, milliseconds since the epoch. */
  readonly since?: number;
  /** Sessions that began before this time, milliseconds since the epoch. */
  readonly until?: number;
  /** Only sessions in which something was refused. */
  readonly refused?: boolean;
  /** Words as they stand in statements, paths and texts; upper and lower case are the same. */
  readonly text?: string;
  /** A relation (`public.orders`) or a path, whole. */
  readonly on?: string;
  /** Why something was refused. */
  readonly reason?: string;
}

export interface SessionPage {
  readonly sessions: readonly SessionView[];
  /** Give it as `cursor` to read on; null at the end. */
  readonly next: string | null;
}

const SELECT = `
  select s.*, i.* from sessions s left join lateral (
    select coalesce(sum(actions), 0) as actions, coalesce(sum(denied), 0) as denied, coalesce(sum(rows), 0) as rows,
      coalesce(sum(bytes_in), 0) as bytes_in, coalesce(sum(bytes_out), 0) as bytes_out
    from block_index where session_id = s.id) i on true`;

/** The condition on a row of the index; each parameter may be null. */
export const MATCHES = (text: string, on: string, reason: string) =>
  `(${text}::text is null or text ilike ${text}) and (${on}::text is null or targets @> array[${on}::text])
    and (${reason}::text is null or reasons @> array[${reason}::text])`;

/** A pattern for ILIKE that finds the words as they are. */
export function likeOf(text: string | undefined): string | null {
  return text === undefined ? null : `%${text.replace(/[\\%_]/g, '\\$&')}%`;
}

/** Session ids are UUIDv7, so their order is the order of beginning. */
const LIST = `${SELECT}
  where ($1::text is null or s.principal = $1) and ($2::text is null or s.service = $2)
    and ($3::timestamptz is null or s.started_at >= $3)
    and (not $4::boolean or exists (select from block_index b where b.session_id = s.id and b.denied > 0))
    and ($5::uuid is null or s.id < $5) and ($7::text[] is null or s.service = any($7))
    and ($8::timestamptz is null or s.started_at < $8)
    and (($9::text is null and $10::text is null and $11::text is null) or exists (
      select from block_index where session_id = s.id and ${MATCHES('$9', '$10', '$11')}))
  order by s.id desc limit $6`;

/** Sessions that match, the newest first. */
export async function listSessions(
  pool: Pool,
  filter: SessionFilter,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
): Promise<SessionPage> {
  const since = filter.since === undefined ? null : new Date(filter.since);
  const { rows } = await pool.query<Row>(LIST, [
    filter.person ?? null,
    filter.service ?? null,
    since,
    filter.refused ?? false,
    cursor ?? null,
    limit + 1,
    filter.services ?? null,
    filter.until === undefined ? null : new Date(filter.until),
    likeOf(filter.text),
    filter.on ?? null,
    filter.reason ?? null,
  ]);
  const { shown, next } = pageOf(rows, limit, ({ id }) => id);
  return { sessions: shown.map(viewOf), next };
}

/** @throws DaypassError `unknown_session` */
export async function readSession(pool: Pool, id: string): Promise<SessionView> {
  const { rows } = await pool.query<Row>(`${SELECT} where s.id = $1`, [id]);
  const row = rows[0];
  if (row === undefined) throw new DaypassError('unknown_session', `There is no session ${id}.`);
  return viewOf(row);
}

/** How a recording is looked at. */
export type Viewing = 'show' | 'replay' | 'export' | 'watch' | 'search' | 'verify' | 'policy';

/** Who looks, by which door they came, and at what. */
export interface Looked {
  readonly by: string;
  readonly via: Door;
  readonly act: Viewing;
  readonly session: string | null;
}

/** How long the ledger may take to record that, milliseconds: a little more than its audit log waits for its turn. */
const WITHIN = 6_000;

/** Records that someone looks at a recording; nothing of it is served before this has resolved (THREATS.md D26). */
export async function recordViewing(pool: Pool, { by, via, act, session }: Looked): Promise<void> {
  // The door is this transaction's, which is this statement: its line in the audit log is written as it commits.
  const text = `insert into viewings (by, act, session_id)
     select $1, $2, $3::uuid where set_config('daypass.via', $4, true) is not null`;
  await pool.query(timed(WITHIN, text, [by, act, session, via]));
}

interface Row {
  id: string;
  gateway_id: string;
  grant_id: string;
  service: string;
  protocol: string;
  principal: string;
  role: string;
  client: string;
  mode: string;
  policy_version: string;
  started_at: Date;
  ended_at: Date | null;
  end_reason: string | null;
  due_at: Date | null;
  cut_at: Date | null;
  bytes_after_due: string | null;
  actions: string;
  denied: string;
  rows: string;
  bytes_in: string;
  bytes_out: string;
}

function viewOf(row: Row): SessionView {
  return {
    id: row.id,
    gatewayId: row.gateway_id,
    grantId: row.grant_id,
    service: row.service,
    protocol: row.protocol,
    principal: row.principal,
    role: row.role,
    client: row.client,
    mode: row.mode,
    policyVersion: row.policy_version,
    startedAt: row.started_at.getTime(),
    endedAt: row.ended_at?.getTime() ?? null,
    endReason: row.end_reason,
    dueAt: row.due_at?.getTime() ?? null,
    cutAt: row.cut_at?.getTime() ?? null,
    bytesAfterDue: row.bytes_after_due === null ? null : Number(row.bytes_after_due),
    counts: {
      actions: Number(row.actions),
      denied: Number(row.denied),
      rows: Number(row.rows),
      bytesIn: Number(row.bytes_in),
      bytesOut: Number(row.bytes_out),
    },
  };
}
