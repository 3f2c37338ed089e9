import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import { TRIED_FOR } from './courier.js';

/** How long what was told is kept: far longer than anything is looked back for. */
const KEPT = '90 days';
const MOST = 1_000;

/** By the database's clock: one that was set wrong on a gateway must not throw anything away. */
const FORGET = `
  delete from notices where id in (
    select id from notices n where at < now() - interval '${KEPT}' and spread_at is not null
      and not exists (select from deliveries d where d.notice = n.id and d.state = 'waiting') limit ${MOST})`;

const ABANDONED = `
  update deliveries set state = 'failed', ended_at = $2, error = 'the channel is not configured any more'
  where state = 'waiting' and channel <> all($1) and due_at < $3 and (leased_until is null or leased_until <= now())`;

/** Forgets what is old, and gives up what waits for a channel that is gone for days. */
export async function tidy(pool: Pool, channels: readonly string[], clock: Pick<Clock, 'wall'>): Promise<void> {
  const now = clock.wall();
  await pool.query(FORGET);
  await pool.query(ABANDONED, [channels, new Date(now), new Date(now - TRIED_FOR)]);
}
