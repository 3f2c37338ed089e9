import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { inTransaction } from '../recording/transaction.js';
import type { AuditLine } from './entry.js';
import { type Head, START } from './head.js';
import type { Receiver } from './receiver.js';

export interface StreamParts {
  /** Connections of its own: a receiver that hangs holds one. */
  readonly pool: pg.Pool;
  readonly receiver: Receiver;
  readonly log: Log;
  /** How often new lines are looked for, and the shortest and longest pause after a failure, milliseconds. */
  readonly pauses?: { readonly look: number; readonly first: number; readonly most: number };
}

const PAUSES = { look: 1_000, first: 1_000, most: 60_000 };
/** Any number of its own: whoever has it streams. The second half is the receiver's. */
const LOCK = 1_685_086_582;
const BATCH = 100;

const CURSOR = `
  select c.seq, c.hash, a.hash_after is not distinct from c.hash as held
  from audit_cursors c left join audit a on a.seq = c.seq where c.receiver = $1`;
const LINES = `select seq, entry, hash_before, hash_after from audit where seq > $1 order by seq limit ${BATCH}`;
const MOVE = `
  insert into audit_cursors (receiver, seq, hash, at) values ($1, $2, $3, now())
  on conflict (receiver) do update set seq = excluded.seq, hash = excluded.hash, at = excluded.at`;

/**
 * Tells one receiver of every line, in order, at least once: the cursor moves after the receiver has taken the lines. Of several
 * gateways one streams at a time. It reads what was committed, so no act waits for it; while the receiver does not take
 * lines, the log is the queue.
 */
export class AuditStream {
  readonly #parts: StreamParts;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  /** The line whose loss was told. */
  #lost: string | null = null;

  constructor(parts: StreamParts) {
    this.#parts = parts;
    this.#running = this.#run();
  }

  /** What is under way is broken off: it is sent again by whoever streams next. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#parts.receiver.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      const wait = await this.#deliver().then(
        (full) => {
          failures = 0;
          return full ? 0 : this.#pauses.look;
        },
        (thrown: unknown) => {
          failures += 1;
          return this.#failed(thrown, failures);
        },
      );
      await pause(wait, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  get #pauses() {
    return this.#parts.pauses ?? PAUSES;
  }

  #failed(thrown: unknown, failures: number): number {
    const { log, receiver } = this.#parts;
    const wait = Math.min(this.#pauses.most, this.#pauses.first * 2 ** Math.min(failures - 1, 16));
    if (!this.#stopping.signal.aborted)
      log.warn(
        { receiver: receiver.name, failures, again: wait, err: messageOf(thrown) },
        'the audit log could not be streamed; its lines wait',
      );
    return wait;
  }

  /** @returns whether there may be more at once */
  #deliver(): Promise<boolean> {
    const { pool, receiver } = this.#parts;
    return inTransaction(pool, async (client) => {
      const lock = 'select pg_try_advisory_xact_lock($1, hashtext($2)) as ours';
      const { rows } = await client.query<{ ours: boolean }>(lock, [LOCK, receiver.name]);
      if (rows[0]?.ours !== true) return false;
      // A gateway that stops in the middle would keep the others from streaming.
      await client.query(`set local idle_in_transaction_session_timeout = '30s'`);
      const lines = await linesAfter(client, await this.#cursor(client));
      const last = lines.at(-1);
      if (last === undefined) return false;
      await receiver.send(lines, this.#stopping.signal);
      await client.query(MOVE, [receiver.name, last.seq, last.hashAfter]);
      return lines.length === BATCH;
    });
  }

  /** Where to go on. When the line that was sent last is gone, everything is sent again: the receiver has the proof. */
  async #cursor(client: pg.PoolClient): Promise<number> {
    const { receiver, log } = this.#parts;
    const { rows } = await client.query<{ seq: string; held: boolean }>(CURSOR, [receiver.name]);
    const [row] = rows;
    if (row === undefined || row.held) return Number(row?.seq ?? START.seq);
    if (row.seq === this.#lost) return START.seq;
    this.#lost = row.seq;
    log.error(
      { receiver: receiver.name, line: Number(row.seq) },
      'the audit log no longer has the line that was streamed last: somebody changed it; all of it is streamed again',
    );
    return START.seq;
  }
}

async function linesAfter(client: pg.PoolClient, seq: Head['seq']): Promise<AuditLine[]> {
  const { rows } = await client.query<{ seq: string; entry: string; hash_before: Buffer; hash_after: Buffer }>(LINES, [
    seq,
  ]);
  return rows.map((row) => ({
    seq: Number(row.seq),
    entry: row.entry,
    hashBefore: row.hash_before,
    hashAfter: row.hash_after,
  }));
}
