import type { PoolClient } from 'pg';
import { DaypassError } from '../errors.js';
import { inTransaction } from '../recording/transaction.js';
import type { OffboardingParts, Why } from './leaving-parts.js';

type Parts = Pick<OffboardingParts, 'pool' | 'grants' | 'clock'>;

/**
 * Live grants of contractors whose account names the sponsor. Of people without an account the grant says whose they are.
 * What is suspended already, for whatever reason, is not ours to resume.
 */
const SPONSORED = `
  select g.id, g.principal from grants g left join people p on p.subject = g.principal
  where g.revoked_at is null and g.expires_at > $2 and g.suspended_at is null and g.principal <> $1
    and (p.subject is null and g.sponsor = $1 or p.kind = 'contractor' and p.sponsor = $1)
  order by g.id`;

const NOTE = `
  insert into sponsor_suspensions (grant_id, principal, sponsor, at) values ($1, $2, $3, $4)
  on conflict (grant_id) do update set sponsor = excluded.sponsor, at = excluded.at, resumed_at = null`;

/** Suspends the grants of those whose sponsor leaves, until somebody else answers for them. */
export async function suspendSponsored(
  { pool, grants, clock }: Parts,
  sponsor: string,
  act: Why,
): Promise<{ readonly suspended: readonly string[]; readonly fault: unknown }> {
  const { rows } = await pool.query<{ id: string; principal: string }>(SPONSORED, [sponsor, new Date(clock.wall())]);
  const suspended: string[] = [];
  const resumed = new Set<string>();
  let fault: unknown = null;
  for (const { id, principal } of rows) {
    const note = () => pool.query(NOTE, [id, principal, sponsor, new Date(clock.wall())]);
    try {
      // Noted before: a crash in between leaves a note of a grant that is not suspended, which resuming leaves as it is.
      await note();
      await grants.suspend(id, act);
      // And after: somebody who looked through the notes in between found nothing to resume.
      await note();
      suspended.push(id);
    } catch (thrown) {
      fault ??= thrown;
    }
  }
  // Whoever had another sponsor by the time they were listed as waiting for one does not wait.
  for (const principal of new Set(rows.map((row) => row.principal))) {
    const back = await resumeOf({ pool, grants, clock }, principal, act).catch((thrown: unknown) => {
      fault ??= thrown;
      return [];
    });
    for (const id of back) resumed.add(id);
  }
  return { suspended: suspended.filter((id) => !resumed.has(id)), fault };
}

/** Notes of suspensions of somebody who has, and whose sponsor has, an open account. */
const TO_RESUME = `
  select n.grant_id as id from sponsor_suspensions n
  join people p on p.subject = n.principal and p.closed_at is null
  join people s on s.subject = p.sponsor and s.closed_at is null
  where n.principal = $1 and n.resumed_at is null and s.subject <> n.sponsor order by n.grant_id`;

/** A grant that is over stays so, whoever answers for its holder. */
const OVER: ReadonlySet<string> = new Set(['revoked', 'expired', 'unknown_grant']);

/**
 * Whether the account of the person and that of who answers for them are open, and stay so until the transaction ends: closing
 * either waits (migration 012). Whoever leaves then finds what was resumed.
 */
async function somebodyAnswers(client: PoolClient, subject: string): Promise<boolean> {
  const { rows } = await client.query<{ sponsor: string }>(
    'select sponsor from people where subject = $1 and sponsor is not null',
    [subject],
  );
  const sponsor = rows[0]?.sponsor;
  if (sponsor === undefined) return false;
  const held = 'select pg_advisory_xact_lock_shared(leaving_lock(name)) from unnest($1::text[]) as name';
  await client.query(held, [[subject, sponsor]]);
  const open = `select p.sponsor from people p where p.subject = $1 and leaving_why(p.subject) is null`;
  const now = await client.query<{ sponsor: string }>(open, [subject]);
  return now.rows[0]?.sponsor === sponsor;
}

/** @returns the ids of the grants that were resumed */
export async function resumeOf({ pool, grants, clock }: Parts, subject: string, act: Why): Promise<readonly string[]> {
  const { rows } = await pool.query<{ id: string }>(TO_RESUME, [subject]);
  const resumed: string[] = [];
  for (const { id } of rows) {
    const works = await inTransaction(pool, async (client) => {
      if (!(await somebodyAnswers(client, subject))) return null;
      return grants.resume(id, act).then(
        () => true,
        (thrown: unknown) => {
          if (thrown instanceof DaypassError && OVER.has(thrown.code)) return false;
          throw thrown;
        },
      );
    });
    // The next sponsor left meanwhile: it goes on waiting.
    if (works === null) return resumed;
    if (works) resumed.push(id);
    const done = 'update sponsor_suspensions set resumed_at = $2 where grant_id = $1';
    await pool.query(done, [id, new Date(clock.wall())]);
  }
  return resumed;
}
