import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import { uuid7 } from '../recording/uuid7.js';
import type { AccessEvent } from './parts.js';

export interface EmergencyParts {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'alerted'>;
}

/** Makes an alert of every emergency access that is begun: nobody agreed to it, so everybody is to know of it. */
export function emergencies({ pool, clock, log, metrics }: EmergencyParts): (event: AccessEvent) => Promise<void> {
  return async ({ act, request, by, reason }) => {
    if (act !== 'request.activate' || request.kind !== 'break_glass') return;
    const { id, principal, service, role } = request;
    const grantId = request.grant?.id ?? null;
    log.warn({ request: id, principal, service, role, grant: grantId, by, reason }, 'emergency access was begun');
    metrics.alerted('break_glass');
    const at = clock.wall();
    await pool.query(
      `insert into alerts (id, kind, principal, service, grant_id, detail, at) values ($1, 'break_glass', $2, $3, $4, $5, $6)`,
      [uuid7(at), principal, service, grantId, { request: id, role, reason }, new Date(at)],
    );
  };
}
