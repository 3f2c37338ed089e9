import type { Clock } from '../clock.js';
import type { ServicePolicy } from '../config/protocol.js';
import type { Grant } from '../grant/grant.js';
import type { Metrics } from '../metrics.js';
import type { Decision } from '../policy/decision.js';
import type { DenialReason } from '../policy/reason.js';
import type { Recorder } from '../recording/recorder.js';
import type { AdmitRequest } from './gate.js';
import { beginRecord } from './session-record.js';

/** Refusals that say something of the grant; an outage does not. */
const OF_THE_GRANT: ReadonlySet<DenialReason> = new Set([
  'expired',
  'revoked',
  'suspended',
  'outside_hours',
  'not_yet',
  'wrong_service',
  'wrong_principal',
  'out_of_scope',
]);
/** The same refusal of the same grant is recorded at most so often, milliseconds; each is in the log and in the metrics. */
const EVERY = 60_000;
/** How many are remembered for that. */
const MOST = 10_000;

/**
 * Records whom the gate refuses although it holds a grant: a session that begins and ends with the refusal. Only for clients
 * that have shown the secret, so that no stranger can fill the ledger.
 */
export class Refusals {
  readonly #recorder: Recorder;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  /** When each was recorded last; the first is the one of longest ago. */
  readonly #recent = new Map<string, number>();

  constructor(recorder: Recorder, clock: Clock, metrics: Metrics) {
    this.#recorder = recorder;
    this.#clock = clock;
    this.#metrics = metrics;
  }

  record(request: AdmitRequest, grant: Grant, policy: ServicePolicy, decision: Decision): void {
    const { reason, rule, message } = decision;
    if (reason === null || !OF_THE_GRANT.has(reason) || !this.#isDue(`${grant.id} ${policy.name} ${reason}`)) return;
    const startedAt = this.#clock.wall();
    const { client, principal } = request;
    const recording = beginRecord(this.#recorder, { grant, policy, client, startedAt }, { refused: reason });
    const as = principal === undefined || principal === grant.principal ? {} : { as: principal };
    recording.append('action', { verb: 'connect', outcome: 'deny', rule, reason, ...as }, { text: message });
    this.#metrics.service(policy.name, policy.protocol).decided('deny', reason); // an action in the record is a decision
    const receipt = { endedAt: startedAt, reason: 'refused', dueAt: null, cutAt: null, bytesAfterDue: 0 } as const;
    recording.close(receipt);
  }

  #isDue(key: string): boolean {
    const now = this.#clock.monotonic();
    const last = this.#recent.get(key);
    if (last !== undefined && now - last < EVERY) return false;
    this.#recent.delete(key);
    this.#recent.set(key, now);
    const oldest = this.#recent.keys().next();
    if (this.#recent.size > MOST && !oldest.done) this.#recent.delete(oldest.value);
    return true;
  }
}
