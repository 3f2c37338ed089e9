import type pg from 'pg';
import type { Log } from '../log.js';
import { timed } from './timed.js';

/** Of these connections, those that the server is not done with. */
const BUSY = `select pid from pg_stat_activity where pid = any($1) and state = 'active'`;
/** A statement that writes waits for the lock of its table before it is refused: not for long, milliseconds. */
const ONLY_READS = `select set_config('default_transaction_read_only', 'on', false), set_config('lock_timeout', '100', false)`;
/** How long the server may take for either, milliseconds. */
const WITHIN = 2_000;

/**
 * What a pool's users gave up, and the server did not. It hears nothing of it while it waits at a commit for the standby, nor, before
 * PostgreSQL 14, for a lock, and that wait has no end: whoever asks again and again, a stranger who logs in, would leave one connection there each time, until there
 * are none for anybody. While the server is busy with as many as the pool may have, further ones only read, and serve once.
 */
export class GivenUp {
  readonly #most: number;
  readonly #log: Log | undefined;
  #pids: readonly number[] = [];
  readonly #readers = new WeakSet<pg.ClientBase>();
  #isTooMuch = false;

  constructor(most: number, log?: Log) {
    this.#most = most;
    this.#log = log;
  }

  /** A connection has served. @param isBroken - it is dropped, perhaps in the middle of something */
  released(client: pg.PoolClient, isBroken: boolean): void {
    if (isBroken) this.dropped(client);
    else if (this.#readers.has(client)) void client.end();
  }

  /** A connection is given up, perhaps in the middle of something. */
  dropped(client: pg.ClientBase): void {
    if ('processID' in client && typeof client.processID === 'number') this.#pids = [...this.#pids, client.processID];
  }

  /** Settles what a new connection may do. */
  async examine(client: pg.ClientBase): Promise<void> {
    if (this.#pids.length < this.#most) return;
    const { rows } = await client.query<{ pid: number }>(timed(WITHIN, BUSY, [this.#pids]));
    this.#pids = rows.map(({ pid }) => pid);
    this.#tell(rows.length >= this.#most);
    if (!this.#isTooMuch) return;
    await client.query(timed(WITHIN, ONLY_READS));
    this.#readers.add(client);
  }

  #tell(isTooMuch: boolean): void {
    const waiting = { connections: this.#pids.length };
    if (isTooMuch && !this.#isTooMuch)
      this.#log?.error(
        waiting,
        'the ledger is busy with what was given up, a lock or a standby: no more is written there',
      );
    if (!isTooMuch && this.#isTooMuch) this.#log?.info('the ledger is done with what was given up');
    this.#isTooMuch = isTooMuch;
  }
}
