import type { ServicePolicy } from '../config/protocol.js';
import type { Grant } from '../grant/grant.js';
import type { Facts } from '../recording/event.js';
import type { SessionLog, SessionRow } from '../recording/log.js';
import type { Recorder } from '../recording/recorder.js';
import { openingFacts } from '../recording/row-facts.js';
import { uuid7 } from '../recording/uuid7.js';

/** What a session begins with. */
export interface Beginning {
  readonly grant: Grant;
  readonly policy: ServicePolicy;
  /** The client's address. */
  readonly client: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

/**
 * Begins the record of a session, under an id of its own: its row, and an event that says who it is and holds the grant's token.
 * @param more - who opened it, where that is not whoever has the handle; why nobody was let in
 */
export function beginRecord(recorder: Recorder, beginning: Beginning, more: Facts = {}): SessionLog {
  const { grant, policy, client, startedAt } = beginning;
  const row: SessionRow = {
    id: uuid7(startedAt),
    grantId: grant.id,
    service: policy.name,
    protocol: policy.protocol,
    principal: grant.principal,
    role: grant.role,
    client,
    mode: policy.recording.mode,
    policyVersion: policy.version,
    startedAt,
  };
  const recording = recorder.open(row);
  recording.append('open', { ...openingFacts(row, recorder.gatewayId), ...more }, { token: grant.token });
  return recording;
}
