import cluster from 'node:cluster';
import { join } from 'node:path';
import { DaypassError, messageOf } from '../errors.js';
import { createLog, type Log } from '../log.js';
import { type CancelMessage, type FromPrimary, type FromWorker, MOST_WORKERS } from './messages.js';

/** Says to a process which worker it is; set by the primary alone. */
export const WORKER_INDEX = 'DAYPASS_WORKER';

/** Which worker of a gateway this process is; null when the process is none. */
export function workerIndex(): number | null {
  const index = process.env[WORKER_INDEX];
  return cluster.isWorker && index !== undefined ? Number(index) : null;
}

/** Where the primary asks a worker. The name is shorter than that of the operator's socket beside it. */
export function workerSocket(dataDirectory: string, index: number): string {
  return join(dataDirectory, `w${index}.sock`);
}

/** How long another worker may take to do with a cancel request: as long as its client is held, milliseconds. */
const PASSED_LIMIT = 10_000;

/** What a worker runs. */
export interface Serving {
  readonly addresses: { readonly http: number; readonly postgres: number };
  stop(): Promise<void>;
}

/** A worker's side of the channel. */
export class Seat {
  readonly index: number;
  readonly socketPath: string;
  /** Where cancel requests go that are for another worker. */
  readonly neighbours: {
    readonly index: number;
    readonly places: number;
    pass(place: number, pid: number, secret: Uint8Array, client: string): Promise<void>;
    onPassed(take: (pid: number, secret: Uint8Array, client: string) => Promise<void>): void;
  };
  /** Resolves when the worker is to stop. */
  readonly stopAsked: Promise<void>;
  #takeCancel: (pid: number, secret: Uint8Array, client: string) => Promise<void> = async () => {};
  /** What was passed on, until it is done with. */
  readonly #passed = new Map<number, () => void>();
  #ids = 0;

  constructor(index: number, dataDirectory: string) {
    this.index = index;
    this.socketPath = workerSocket(dataDirectory, index);
    this.neighbours = {
      index,
      places: MOST_WORKERS,
      pass: (place, pid, secret, client) =>
        this.#pass({ kind: 'cancel', place, pid, secret: Buffer.from(secret).toString('base64'), client }),
      onPassed: (take) => {
        this.#takeCancel = take;
      },
    };
    this.stopAsked = new Promise((resolve) => this.#listen(resolve));
  }

  /** Resolves when the primary has it, or is gone. */
  tell(message: FromWorker): Promise<void> {
    return new Promise((resolve) => {
      if (process.send === undefined || !process.connected) return resolve();
      process.send(message, undefined, undefined, () => resolve());
    });
  }

  /** Resolves when the other worker has done with it, or says nothing for too long: it may have gone meanwhile. */
  #pass(message: Omit<CancelMessage, 'from' | 'id'>): Promise<void> {
    this.#ids += 1;
    const id = this.#ids;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#done(id), PASSED_LIMIT);
      this.#passed.set(id, () => {
        clearTimeout(timer);
        resolve();
      });
      void this.tell({ ...message, from: this.index, id });
    });
  }

  #done(id: number): void {
    this.#passed.get(id)?.();
    this.#passed.delete(id);
  }

  async #take({ pid, secret, client, from, id }: CancelMessage): Promise<void> {
    await this.#takeCancel(pid, Buffer.from(secret, 'base64'), client);
    await this.tell({ kind: 'cancelled', place: from, id });
  }

  #listen(stop: () => void): void {
    process.on('message', (message: FromPrimary) => {
      if (message.kind === 'stop') stop();
      else if (message.kind === 'cancel') void this.#take(message);
      else this.#done(message.id);
    });
    // A terminal and systemd tell every process at once, and the primary tells it again: only the primary hurries us.
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
    process.on('SIGHUP', () => {});
    // Nobody is left to pass connections on, to restart us or to tell us anything: as if this process had been killed.
    process.once('disconnect', () => process.exit(1));
  }
}

/** Runs a worker to its end, and with it the process. Why it cannot start is told to the primary, which tells the operator. */
export async function runWorker(
  index: number,
  dataDirectory: string,
  start: (seat: Seat, log: Log) => Promise<Serving>,
): Promise<never> {
  const seat = new Seat(index, dataDirectory);
  try {
    const gateway = await start(seat, createLog().child({ worker: index }));
    const { http, postgres } = gateway.addresses;
    await seat.tell({ kind: 'serves', http, postgres });
    await seat.stopAsked;
    await gateway.stop();
  } catch (thrown) {
    const { code, hint } = thrown instanceof DaypassError ? thrown : { code: 'failed', hint: undefined };
    await seat.tell({ kind: 'failed', code, message: messageOf(thrown), hint });
    process.exit(1);
  }
  process.exit(0);
}
