import type { Log } from '../log.js';
import { Attached } from './attached.js';
import { type Connection, type Cut, endSurely, reset } from './connection.js';
import { attempt } from './steps.js';

/** Connections of one session that linger. */
const MOST_LINGERING = 1_024;

/** What is connected to a session, and is told of it and cut with it. Each step is caught, so that none keeps the next from happening. */
export class Connections {
  readonly #log: Log;
  readonly #active = new Attached();
  /** Those of which nothing is under way any more, and that are not closed yet. */
  readonly #lingering = new Attached();

  constructor(log: Log) {
    this.#log = log;
  }

  /** How many are under way. */
  get size(): number {
    return this.#active.size;
  }

  get isAlone(): boolean {
    return this.#active.size === 0 && this.#lingering.size === 0;
  }

  /** @returns what takes it out again */
  attach(connection: Connection): () => void {
    const place = this.#active.add(connection);
    return () => this.#active.remove(place, connection);
  }

  /** Of too many that linger the next is severed at once. @returns what takes it out again */
  linger(connection: Connection): () => void {
    if (this.#lingering.size >= MOST_LINGERING) return this.forsake(connection);
    const place = this.#lingering.add(connection);
    return () => this.#lingering.remove(place, connection);
  }

  /** Severs one that comes too late, which was told nothing yet. */
  refuse(connection: Connection): () => void {
    attempt(this.#log, () => connection.severUpstream());
    connection.client.destroy();
    return nothing;
  }

  /** Severs one of which nothing is under way: whoever has not taken what was written to it gets no more of that. */
  forsake(connection: Connection): () => void {
    attempt(this.#log, () => connection.severUpstream());
    reset(connection.client);
    return nothing;
  }

  forsakeLingering(): void {
    for (const connection of this.#lingering.all()) this.forsake(connection);
  }

  /** Upstreams first, of all of them; then each client is told, and ended. */
  cut(cut: Cut): void {
    const connections = [...this.#active.all(), ...this.#lingering.all()];
    for (const connection of connections) attempt(this.#log, () => connection.severUpstream());
    for (const connection of connections) attempt(this.#log, () => connection.farewell(cut));
    for (const { client, dropsInput } of connections) attempt(this.#log, () => endSurely(client, dropsInput));
  }

  warn(message: string): void {
    for (const connection of this.#active.all()) attempt(this.#log, () => connection.warn(message));
  }

  policyChanged(): void {
    for (const connection of this.#active.all()) attempt(this.#log, () => connection.policyChanged());
  }

  clear(): void {
    this.#active.clear();
    this.#lingering.clear();
  }
}

function nothing(): void {}
