import { setTimeout as pause } from 'node:timers/promises';
import type { Pool } from 'pg';

const EVERY = 100;
/** A gateway writes every 10 s; one silent for so long does not end its sessions soon, milliseconds. */
export const UNSEEN = 45_000;

/** The ids of somebody's sessions that have not ended, by the record. */
export async function openSessions(pool: Pool, subject: string): Promise<string[]> {
  const text = 'select id from sessions where principal = $1 and ended_at is null order by id';
  const { rows } = await pool.query<{ id: string }>(text, [subject]);
  return rows.map(({ id }) => id);
}

/**
 * Waits until the record says that all have ended.
 * @param within - milliseconds
 * @returns those that could not be confirmed: their gateways may be gone
 */
export async function sessionsStillOpen(pool: Pool, subject: string, within: number): Promise<string[]> {
  for (let waited = 0; ; waited += EVERY) {
    const open = await openSessions(pool, subject);
    if (open.length === 0 || waited >= within || !(await someGatewayLives(pool, open))) return open;
    await pause(EVERY);
  }
}

/** By the ledger's own clock, as gateways write it. */
async function someGatewayLives(pool: Pool, sessions: readonly string[]): Promise<boolean> {
  const { rows } = await pool.query(
    `select from sessions s join gateways g on g.id = s.gateway_id
     where s.id = any($1) and g.seen_at > now() - make_interval(secs => $2) limit 1`,
    [sessions, UNSEEN / 1_000],
  );
  return rows.length > 0;
}
