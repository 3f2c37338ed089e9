import type { Pool } from 'pg';
import { timed } from '../recording/timed.js';
import type { Registry } from '../session/registry.js';

/** How long the ledger may take, milliseconds. */
const WITHIN = 2_000;
const ENDED = 'select id from sessions where id = any($1::uuid[]) and ended_at is not null';

/**
 * Cuts the sessions that another gateway closed because it took this one for lost. Their record ends there: whoever reads it takes them for
 * over, and nobody ends by hand what has ended.
 */
export async function cutLost(pool: Pool, registry: Pick<Registry, 'all' | 'get'>): Promise<void> {
  const ids = registry.all().map(({ id }) => id);
  if (ids.length === 0) return;
  const { rows } = await pool.query<{ id: string }>(timed(WITHIN, ENDED, [ids]));
  for (const { id } of rows) registry.get(id)?.cut('recorder_stalled');
}
