import type pg from 'pg';
import { DaypassError } from '../errors.js';
import { checkPrincipal } from '../grant/limits.js';
import { ask, askWithin } from './ask.js';
import type { Audit } from './audited.js';
import type { Told } from './claims.js';
import { isNobodys } from './standing.js';

/** Somebody of the directory with an account here, or why there is none. */
export type Employee =
  | { readonly ok: true; readonly subject: string }
  | { readonly ok: false; readonly why: 'no_subject' | 'taken' | 'closed' };

/** What accounts of the directory are kept with. */
export interface EmployeesParts {
  readonly pool: pg.Pool;
  readonly audit: Audit;
}

/**
 * The account of somebody whom the directory vouches for: found by issuer and `sub`, made at the first login, and told what
 * the directory says now. Its subject stays what it was at first.
 * @param now - milliseconds since the epoch
 * @throws DaypassError `ledger_unavailable`
 */
export async function employeeOf(parts: EmployeesParts, told: Told, now: number): Promise<Employee> {
  const found = (await refreshed(parts.pool, told, now)) ?? (await made(parts, told, now));
  // Two first logins of one person at once: the other one made it.
  return found ?? (await refreshed(parts.pool, told, now)) ?? { ok: false, why: 'taken' };
}

async function refreshed(pool: pg.Pool, told: Told, now: number): Promise<Employee | null> {
  const { issuer, sub, name, email, groups } = told;
  const [row] = await ask(
    pool,
    `with known as (
       select subject, closed_at from people where issuer = $1 and directory_id = $2
     ), refreshed as (
       update people set name = coalesce($3, name), email = $4, groups = $5, groups_at = $6
       where issuer = $1 and directory_id = $2 and closed_at is null returning subject
     )
     select known.subject, refreshed.subject is null as closed from known left join refreshed using (subject)`,
    [issuer, sub, name, email, groups, new Date(now)],
  );
  if (row === undefined) return null;
  return row.closed === true ? { ok: false, why: 'closed' } : { ok: true, subject: String(row.subject) };
}

async function made({ pool, audit }: EmployeesParts, told: Told, now: number): Promise<Employee | null> {
  const { issuer, sub, subject, name, email, groups } = told;
  if (subject === null || !isPrincipal(subject)) return { ok: false, why: 'no_subject' };
  if (isNobodys(subject)) return { ok: false, why: 'taken' };
  return askWithin(pool, async (client) => {
    const [row] = await ask(
      client,
      `insert into people (subject, kind, source, issuer, directory_id, name, email, groups, groups_at, created_at, created_by)
       values ($1, 'employee', 'directory', $2, $3, $4, $5, $6, $7, $7, $1) on conflict do nothing returning subject`,
      [subject, issuer, sub, name ?? subject, email, groups, new Date(now)],
    );
    if (row === undefined) return null;
    const line = { actor: subject, via: 'browser', act: 'person.create', target: `person:${subject}` } as const;
    await audit(client, {
      ...line,
      reason: 'the first login by the directory',
      result: 'done',
      detail: { issuer, groups },
    });
    return { ok: true, subject };
  });
}

function isPrincipal(name: string): boolean {
  try {
    checkPrincipal(name);
    return true;
  } catch (thrown) {
    if (thrown instanceof DaypassError) return false;
    throw thrown;
  }
}
