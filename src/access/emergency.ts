import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import { raiseAlert } from '../recording/alerts.js';
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
    const detail = { request: id, role, reason };
    const alert = { kind: 'break_glass', principal, service, grant: grantId, session: null, detail, at: clock.wall() };
    await raiseAlert(pool, alert);
  };
}
