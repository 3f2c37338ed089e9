import type { PoolClient } from 'pg';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import { type Alert, type Raise, raiseAlert } from '../recording/alerts.js';
import type { AccessEvent } from './parts.js';

export interface EmergencyParts {
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'alerted'>;
  /** Writes the alert, and tells whoever has to be told. */
  readonly raise?: Raise | undefined;
  /** Whether there is an alert of it at all. */
  readonly enabled?: boolean;
}

/** An emergency that is begun, or begun again with another handle. */
export interface Emergency {
  readonly request: string;
  readonly principal: string;
  readonly service: string;
  readonly role: string;
  readonly reason: string;
  readonly grant: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/**
 * Makes an alert of every emergency access that is begun: nobody agreed to it, so everybody is to know of it.
 * @returns `begun` writes it within the transaction of the activation, so that there is no emergency without its alert, whatever
 * dies right after; `told` counts and logs it afterwards
 */
export function emergencies({ log, metrics, raise = raiseAlert, enabled = true }: EmergencyParts) {
  return {
    begun: async (client: PoolClient, emergency: Emergency): Promise<void> => {
      await raise(client, alertOf(emergency));
    },
    told: ({ act, request, by }: AccessEvent): void => {
      if (act !== 'request.activate' || request.kind !== 'break_glass') return;
      const { id, principal, service, role, grant } = request;
      log.warn({ request: id, principal, service, role, grant: grant?.id, by }, 'emergency access was begun');
      if (enabled) metrics.alerted('break_glass');
    },
  };
}

function alertOf({ request, principal, service, role, reason, grant, at }: Emergency): Alert {
  const about = { principal, service, grant, session: null, detail: { request, role, reason }, at };
  return { kind: 'break_glass', subject: `grant:${grant}`, ...about };
}
