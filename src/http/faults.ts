import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';

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
}
