import type { Pool } from 'pg';
import type { ServicePolicy } from '../config/protocol.js';

/**
 * Keeps the policy texts that records name by version, so that a record can be decided again. Called at start and at every
 * reload, before the policies are put in force. Secrets are references in these texts, never values.
 */
export async function rememberPolicies(pool: Pool, services: Iterable<ServicePolicy>): Promise<void> {
  const policies = [...services];
  if (policies.length === 0) return;
  await pool.query(
    `insert into policies (version, service, text)
     select distinct on (version) * from unnest($1::text[], $2::text[], $3::text[]) as given(version, service, text)
     on conflict (version) do nothing`,
    [policies.map(({ version }) => version), policies.map(({ name }) => name), policies.map(({ text }) => text)],
  );
}
