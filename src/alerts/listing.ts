import type { Pool } from 'pg';
import { pageOf } from '../recording/page.js';

/** One delivery as it stands. Times are milliseconds since the epoch. */
export interface DeliveryView {
  readonly id: string;
  readonly kind: string;
  readonly at: number;
  readonly channel: string;
  readonly recipient: string;
  readonly state: 'waiting' | 'sent' | 'failed';
  readonly attempts: number;
  /** Of the next attempt; null when there is none. */
  readonly dueAt: number | null;
  readonly endedAt: number | null;
  /** Whether it may have arrived once already: then it is sent again with the same id. */
  readonly unsure: boolean;
  readonly error: string | null;
}

export interface DeliveryFilter {
  readonly state?: DeliveryView['state'] | undefined;
  readonly limit: number;
  /** The id of the last one of the page before. */
  readonly after?: string | undefined;
}

/** How many wait and failed, and since when the oldest waits (milliseconds since the epoch). */
export interface Backlog {
  readonly waiting: number;
  readonly failed: number;
  readonly oldest: number | null;
}

const LIST = `
  select d.id, n.kind, n.at, d.channel, d.recipient, d.state, d.attempts, d.due_at, d.ended_at, d.unsure and d.attempts > 0
    and d.leased_until is null as unsure, d.error
  from deliveries d join notices n on n.id = d.notice
  where ($1::text is null or d.state = $1) and ($2::uuid is null or d.id < $2) order by d.id desc limit $3`;

const BACKLOG = `
  select (select count(*) from deliveries where state = 'failed')::int as failed,
    (select count(*) from deliveries where state = 'waiting')::int + (select count(*) from notices where spread_at is null)::int
      as waiting,
    least((select min(n.at) from deliveries d join notices n on n.id = d.notice where d.state = 'waiting'),
      (select min(at) from notices where spread_at is null)) as oldest`;

interface Row extends Omit<DeliveryView, 'at' | 'dueAt' | 'endedAt'> {
  readonly at: Date;
  readonly due_at: Date;
  readonly ended_at: Date | null;
}

/** The newest first. */
export async function listDeliveries(
  pool: Pool,
  { state, limit, after }: DeliveryFilter,
): Promise<{ readonly notices: readonly DeliveryView[]; readonly next: string | null }> {
  const { rows } = await pool.query<Row>(LIST, [state ?? null, after ?? null, limit + 1]);
  const { shown, next } = pageOf(rows, limit, ({ id }) => id);
  const notices = shown.map(({ at, due_at, ended_at, ...rest }) => ({
    ...rest,
    at: at.getTime(),
    dueAt: rest.state === 'waiting' ? due_at.getTime() : null,
    endedAt: ended_at?.getTime() ?? null,
  }));
  return { notices, next };
}

export async function backlogOf(pool: Pool): Promise<Backlog> {
  const { rows } = await pool.query<{ waiting: number; failed: number; oldest: Date | null }>(BACKLOG);
  const [row] = rows;
  return { waiting: row?.waiting ?? 0, failed: row?.failed ?? 0, oldest: row?.oldest?.getTime() ?? null };
}
