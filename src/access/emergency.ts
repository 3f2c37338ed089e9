import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import { type Alert, type Raise, raiseAlert } from '../recording/alerts.js';
import { inTransaction } from '../recording/transaction.js';
import type { AccessEvent } from './parts.js';

export interface EmergencyParts {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'alerted'>;
  /** Writes the alert, and tells whoever has to be told. */
  readonly raise?: Raise | undefined;
}

/** Makes an alert of every emergency access that is begun: nobody agreed to it, so everybody is to know of it. */
export function emergencies(parts: EmergencyParts): (event: AccessEvent) => Promise<void> {
  const { pool, clock, log, metrics, raise = raiseAlert } = parts;
  return async (event) => {
    if (event.act !== 'request.activate' || event.request.kind !== 'break_glass') return;
    const { id, principal, service, role, grant } = event.request;
    log.warn({ request: id, principal, service, role, grant: grant?.id, by: event.by }, 'emergency access was begun');
    const alert = alertOf(event, clock.wall());
    if ((await inTransaction(pool, (client) => raise(client, alert))) !== null) metrics.alerted('break_glass');
  };
}

function alertOf({ request, reason }: AccessEvent, at: number): Alert {
  const { id, principal, service, role } = request;
  const grant = request.grant?.id ?? null;
  const about = { principal, service, grant, session: null, detail: { request: id, role, reason }, at };
  return { kind: 'break_glass', subject: grant === null ? `request:${id}` : `grant:${grant}`, ...about };
}
