import { appendAudit } from '../audit/append.js';
import type { Actor } from '../identity/actor.js';
import { inTransaction } from '../recording/transaction.js';
import type { OffboardingParts } from './leaving-parts.js';

/** Pending ones are withdrawn, others revoked: neither leads to a grant any more. An activated one whose grant is over is over. */
const END = `
  with theirs as (
    select r.id, r.state from access_requests r where r.principal = $1 and (r.state in ('pending', 'approved')
      or r.state = 'activated' and exists (select from grants g where g.id = r.grant_id and g.expires_at > $2))
    order by r.id for update
  )
  update access_requests r set state = case when theirs.state = 'pending' then 'withdrawn' else 'revoked' end, over_at = $2
  from theirs where r.id = theirs.id returning r.id, r.state`;

const ACTS = `
  insert into request_acts (request_id, act, at, by, reason, detail)
  select id, act, $3, $4, $5, '{"offboarding": true}' from unnest($1::uuid[], $2::text[]) as given(id, act)`;

/** @returns the ids of the requests that ended */
export function endRequests(
  { pool, clock }: Pick<OffboardingParts, 'pool' | 'clock'>,
  actor: Actor,
  subject: string,
  reason: string,
): Promise<string[]> {
  return inTransaction(pool, async (client) => {
    const at = new Date(clock.wall());
    const { rows } = await client.query<{ id: string; state: string }>(END, [subject, at]);
    const ids = rows.map(({ id }) => id);
    const acts = rows.map(({ state }) => (state === 'withdrawn' ? 'withdraw' : 'revoke'));
    await client.query(ACTS, [ids, acts, at, actor.subject, reason]);
    for (const [index, id] of ids.entries()) {
      const act = `request.${acts[index]}`;
      const line = { actor: actor.subject, via: actor.via, act, target: `request:${id}`, reason };
      await appendAudit(client, { ...line, result: 'done', detail: { offboarding: subject } });
    }
    return ids;
  });
}
