import { setTimeout as pause } from 'node:timers/promises';
import type { Pool } from 'pg';
import { eventsOf, readBlocks } from './blocks.js';
import type { RecordedEvent } from './event.js';

/** How often the record is asked what came, milliseconds. */
const EVERY = 250;

/**
 * The events of a session from its beginning, and then as they are recorded, until it ends: on whichever gateway it lives,
 * since it is the record that is read. Nothing is shown that is not recorded.
 * @param still - called before anything more is read; what it throws ends it
 * @throws DaypassError `record_damaged` when a block cannot be read, and what `still` throws
 */
export async function* followEvents(
  pool: Pool,
  sessionId: string,
  still: () => Promise<void>,
): AsyncGenerator<RecordedEvent> {
  let after: string | undefined;
  for (;;) {
    await still();
    // Asked before the blocks: what is recorded up to the end is there when the end is.
    const over = await isOver(pool, sessionId);
    for await (const block of readBlocks(pool, sessionId, after)) {
      await still(); // whoever reads slowly may be at this for as long as the session lasts
      after = String(block.firstSeq);
      yield* eventsOf(block);
    }
    if (over) return;
    await pause(EVERY);
  }
}

async function isOver(pool: Pool, sessionId: string): Promise<boolean> {
  const { rows } = await pool.query<{ over: boolean }>(
    'select ended_at is not null as over from sessions where id = $1',
    [sessionId],
  );
  return rows[0]?.over ?? true;
}
