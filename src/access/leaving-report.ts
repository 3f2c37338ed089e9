import type { Pool } from 'pg';
import { z } from 'zod';
import { inTransaction } from '../recording/transaction.js';

const endedSchema = z.object({
  grants: z.array(z.string()),
  requests: z.array(z.string()),
  sessions: z.array(z.string()),
  /** Grants of those they sponsored. */
  suspended: z.array(z.string()),
  /** What has no ids to tell: logins, tokens, passkeys, invitations. */
  counts: z.record(z.string(), z.number()),
});

/** What ended. */
export type Ended = Readonly<z.infer<typeof endedSchema>>;

export const NOTHING: Ended = { grants: [], requests: [], sessions: [], suspended: [], counts: {} };

/**
 * Adds what ended now to what ended before, so that asking again tells the same.
 * @param act - `at`: milliseconds since the epoch
 * @returns both together
 */
export function mergeEnded(
  pool: Pool,
  act: { readonly subject: string; readonly by: string; readonly reason: string; readonly at: number },
  now: Ended,
): Promise<Ended> {
  return inTransaction(pool, async (client) => {
    const at = new Date(act.at);
    await client.query(
      `insert into offboardings (subject, first_at, last_at, by, reason, ended) values ($1, $2, $2, $3, $4, $5)
       on conflict (subject) do nothing`,
      [act.subject, at, act.by, act.reason, JSON.stringify(NOTHING)],
    );
    const { rows } = await client.query('select ended from offboardings where subject = $1 for update', [act.subject]);
    const ended = joined(endedSchema.parse(rows[0]?.ended), now);
    const text = JSON.stringify(ended);
    await client.query('update offboardings set last_at = $2, ended = $3 where subject = $1', [act.subject, at, text]);
    return ended;
  });
}

function joined(before: Ended, now: Ended): Ended {
  const ids = (of: (ended: Ended) => readonly string[]) => [...new Set([...of(before), ...of(now)])].sort();
  const names = [...new Set([...Object.keys(before.counts), ...Object.keys(now.counts)])].sort();
  return {
    grants: ids(({ grants }) => grants),
    requests: ids(({ requests }) => requests),
    sessions: ids(({ sessions }) => sessions),
    suspended: ids(({ suspended }) => suspended),
    counts: Object.fromEntries(names.map((name) => [name, (before.counts[name] ?? 0) + (now.counts[name] ?? 0)])),
  };
}
