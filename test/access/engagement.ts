import type { Pool } from 'pg';
import { appendAudit } from '../../src/audit/append.js';
import { uuid7 } from '../../src/recording/uuid7.js';

/** What other parts of the schema add, where this tree has not got it. */
export async function complete(pool: Pool): Promise<void> {
  await pool.query('alter table grants add column if not exists suspended_at timestamptz');
  await pool.query(`create table if not exists alerts (id uuid primary key, kind text not null, principal text, service text,
    grant_id text, session_id uuid, detail jsonb not null default '{}', at timestamptz not null, acknowledged_at timestamptz,
    acknowledged_by text)`);
}

interface PersonGiven {
  readonly kind?: 'employee' | 'contractor';
  readonly sponsor?: string;
  readonly groups?: readonly string[];
}

/** An account; a contractor's has a sponsor and an end. */
export async function person(pool: Pool, subject: string, given: PersonGiven = {}): Promise<void> {
  const { sponsor = null, groups = [], kind = sponsor === null ? 'employee' : 'contractor' } = given;
  await pool.query(
    `insert into people (subject, kind, source, name, groups, sponsor, ends_at, created_at, created_by)
     values ($1, $2, 'local', $1, $3, $4, case when $2 = 'contractor' then now() + interval '90 days' end, now(), 'ops')`,
    [subject, kind, groups, sponsor],
  );
}

interface RequestGiven {
  readonly state?: string;
  readonly kind?: string;
  readonly task?: string;
  readonly grant?: string;
  readonly nda?: string;
  readonly role?: string;
  readonly service?: string;
  readonly only?: readonly string[];
}

/** An access request as it stands in the ledger. */
export async function request(pool: Pool, principal: string, given: RequestGiven = {}): Promise<string> {
  const id = uuid7(Date.now());
  const { state = 'activated', kind = 'usual', task = 'look at order 7', grant = null, nda = null } = given;
  const { role = 'reader', service = 'orders-db', only = null } = given;
  await pool.query(
    `insert into access_requests (id, principal, service, role, task, kind, starts_at, ends_at, seconds, clock, nda, lane,
       owner, policy_version, needed, state, created_at, decide_by, grant_id, activated_at, allowed_only)
     values ($1, $2, $9, $8, $3, $4, now(), now() + interval '10 minutes', 600, 'first_use', $5, 'production', 'group:leads',
       'v1', 1, $6, now() - interval '1 second', now() + interval '3 days', $7, case when $7::text is not null then now() end, $10)`,
    [id, principal, task, kind, nda, state, grant, role, service, only],
  );
  await pool.query(`insert into request_acts (request_id, act, at, by, reason) values ($1, 'create', now(), $2, $3)`, [
    id,
    principal,
    task,
  ]);
  await audited(pool, id, { actor: principal, verb: 'create', detail: { service, role, seconds: 600, kind } });
  return id;
}

interface Audited {
  readonly actor: string;
  readonly verb: string;
  readonly detail: object;
}

async function audited(pool: Pool, id: string, { actor, verb, detail }: Audited): Promise<void> {
  const line = { actor, via: 'browser', act: `request.${verb}`, target: `request:${id}`, reason: 'r' } as const;
  await appendAudit(pool, { ...line, result: 'done', detail: { ...detail } });
}

/** The requester begins it: from then on the grant is theirs. */
export async function begun(pool: Pool, id: string, grant: string): Promise<void> {
  const { rows } = await pool.query<{ principal: string }>(
    'update access_requests set grant_id = $2, activated_at = now() where id = $1 returning principal',
    [id, grant],
  );
  const actor = rows[0]?.principal ?? '';
  await pool.query(
    `insert into request_acts (request_id, act, at, by, reason, detail) values ($1, 'activate', now(), $2, 'r', $3)`,
    [id, actor, JSON.stringify({ grant })],
  );
  await audited(pool, id, { actor, verb: 'activate', detail: { grant } });
}

/** Somebody approves five minutes of it. */
export async function approval(pool: Pool, id: string, approver: string, comment = 'go ahead'): Promise<void> {
  await pool.query(
    `insert into approvals (request_id, approver, outcome, at, comment, owner, seconds) values ($1, $2, 'approve', now(), $3, 'group:leads', 300)`,
    [id, approver, comment],
  );
  await pool.query('update access_requests set allowed_seconds = 300 where id = $1', [id]);
  const detail = { role: null, seconds: 300, only: null };
  await audited(pool, id, { actor: approver, verb: 'approve', detail });
}
