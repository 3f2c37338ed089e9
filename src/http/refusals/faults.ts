import type { Log } from '../../log.js';
import type { Metrics } from '../../metrics.js';
import type { Session } from '../../session/session.js';

/** What was refused, where no decision and no admission stands for it. */
export interface Fault {
  /** Empty when no service has been asked yet: a client must not be able to invent label values. */
  readonly service?: string;
  readonly session?: string;
  /** The client's address, as the socket says. */
  readonly client: string;
  /** An HTTP status or a WebSocket close code. */
  readonly status: number;
  readonly reason: string;
  readonly rule: string;
  /** More for the log, from our own code and never the client's bytes. */
  readonly why?: string | undefined;
}

/** Tells of each such refusal once: one log line, one count. */
export class Faults {
  readonly #log: Log;
  readonly #metrics: Metrics;

  constructor(log: Log, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  tell(fault: Fault): void {
    this.#metrics.refusedOverHttp(fault.service ?? '', fault.status, fault.reason);
    this.#log.warn(fault, 'refused');
  }

  /** Tells of a fault of our own: one log line, one count of its 500. */
  ours(client: string, thrown: unknown, what: string): void {
    const fault = { client, status: 500, reason: 'internal', rule: 'a gateway without faults' };
    this.#metrics.refusedOverHttp('', fault.status, fault.reason);
    this.#log.error({ ...fault, err: thrown }, what);
  }
}

/** What the log says of a service that failed a request: its own counter counts it (`ServiceMeter.upstreamFailed`). */
export function serviceFault({ id, policy }: Session, status: number): Omit<Fault, 'client'> {
  return { session: id, service: policy.name, status, reason: 'upstream_unavailable', rule: 'a service that answers' };
}
