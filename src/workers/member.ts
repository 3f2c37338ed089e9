import cluster, { type Worker } from 'node:cluster';
import { DaypassError } from '../errors.js';
import type { FailedMessage, FromPrimary, FromWorker, PassedMessage, ServesMessage } from './messages.js';
import { closeUntaken } from './untaken.js';
import { WORKER_INDEX } from './worker.js';

/** How a worker's process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  /** Milliseconds from its start. */
  readonly lived: number;
}

/** One worker, over all the processes that are it in turn. */
export class Member {
  readonly index: number;
  readonly #pass: (message: PassedMessage) => void;
  #process: Worker | null = null;
  #serves = false;
  /** Resolves when the process of the last start has ended. */
  ended: Promise<Ended> = Promise.resolve({ code: 0, signal: null, lived: 0 });

  /** @param pass - takes what is for another worker */
  constructor(index: number, pass: (message: PassedMessage) => void) {
    this.index = index;
    this.#pass = pass;
  }

  /** Whether it serves. */
  get up(): boolean {
    return this.#serves;
  }

  /**
   * Forks a process.
   * @returns where it serves, once it does
   * @throws DaypassError with what it says, or `worker_failed` when it says nothing
   */
  start(): Promise<ServesMessage> {
    const from = performance.now();
    const forked = cluster.fork({ [WORKER_INDEX]: String(this.index) });
    this.#process = forked;
    closeUntaken(forked.process);
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: string | null) => {
        this.#process = null;
        this.#serves = false;
        resolve({ code, signal, lived: performance.now() - from });
      };
      forked.once('exit', end);
      forked.on('error', () => {
        // Nothing was started (no memory, no descriptors), so nothing will end. A message that did not get through is no end.
        if (forked.process.pid === undefined) end(null, null);
      });
    });
    return this.#serving(forked);
  }

  /** @returns false where there is nobody to take it */
  send(message: FromPrimary): boolean {
    if (this.#process?.isConnected() !== true) return false;
    this.#process.send(message, () => {});
    return true;
  }

  kill(signal: NodeJS.Signals): void {
    this.#process?.process.kill(signal);
  }

  #serving(forked: Worker): Promise<ServesMessage> {
    let fault: FailedMessage | null = null;
    return new Promise((resolve, reject) => {
      forked.on('message', (message: FromWorker) => {
        if (message.kind === 'cancel' || message.kind === 'cancelled') this.#pass(message);
        else if (message.kind === 'failed') fault = message;
        else {
          this.#serves = true;
          resolve(message);
        }
      });
      void this.ended.then((end) => reject(faultOf(this.index, fault, end)));
    });
  }
}

function faultOf(index: number, fault: FailedMessage | null, { code, signal }: Ended): DaypassError {
  if (fault === null) {
    const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
    return new DaypassError('worker_failed', `Worker ${index} ended ${how} before it served.`);
  }
  const { hint } = fault;
  return new DaypassError(fault.code, fault.message, hint === undefined ? {} : { hint });
}
