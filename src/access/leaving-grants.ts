import { DaypassError } from '../errors.js';
import type { OffboardingParts, Why } from './leaving-parts.js';

/** How many are ended at once. */
const AT_ONCE = 6;
/** How many are listed at once, and how often it is asked for more. */
const PAGE = 1_000;
const ROUNDS = 20;

export interface GrantsEnded {
  readonly revoked: string[];
  /** Of these: what the ledger does not have yet. */
  readonly queued: string[];
  /** The first thing that went wrong; the others were revoked all the same. */
  fault: unknown;
}

/**
 * Revokes every grant of somebody, those too that have not begun, and asks again until none is left that it has not tried:
 * one that was issued meanwhile is among them. While the ledger is silent, those of live sessions here.
 */
export async function endGrants(
  { pool, grants, liveHere, clock }: Pick<OffboardingParts, 'pool' | 'grants' | 'liveHere' | 'clock'>,
  subject: string,
  act: Why,
): Promise<GrantsEnded> {
  const ended: GrantsEnded = { revoked: [], queued: [], fault: null };
  const tried = new Set<string>();
  const list = async () => {
    const { rows } = await pool.query<{ id: string }>(
      `select id from grants where principal = $1 and revoked_at is null and expires_at > $2 and id <> all($3)
       order by id limit ${PAGE}`,
      [subject, new Date(clock.wall()), [...tried]],
    );
    return rows.map(({ id }) => id);
  };
  const revoke = async (id: string) => {
    tried.add(id);
    try {
      const { ledger } = await grants.revoke(id, act);
      ended.revoked.push(id);
      if (ledger === 'queued') ended.queued.push(id);
    } catch (thrown) {
      ended.fault ??= thrown;
      // The ledger has it: nobody is admitted, sessions end within seconds, and the store is told again.
      if (thrown instanceof DaypassError && thrown.code === 'announce_failed') ended.revoked.push(id);
    }
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    const ids = await list().catch((thrown: unknown) => {
      ended.fault ??= new DaypassError('ledger_unavailable', 'The ledger did not say which grants there are.', {
        cause: thrown,
      });
      return liveHere(subject).filter((id) => !tried.has(id));
    });
    if (ids.length === 0) return ended;
    await inTurns(ids, revoke);
  }
  ended.fault ??= new DaypassError('grants_left', 'New grants kept coming while the others were revoked.');
  return ended;
}

async function inTurns(ids: readonly string[], work: (id: string) => Promise<void>): Promise<void> {
  const waiting = [...ids];
  const turn = async () => {
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) await work(id);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, turn));
}
