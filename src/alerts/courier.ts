import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import { limited } from '../limited.js';
import type { Log } from '../log.js';
import { arrivedNot, type Channel, type Message } from './channel.js';
import { Nap } from './nap.js';

export interface CourierParts {
  readonly pool: Pool;
  readonly channel: Channel;
  readonly clock: Pick<Clock, 'wall'>;
  readonly log: Log;
  /** How often what is due is looked for, and how long a delivery is its taker's alone, milliseconds. */
  readonly times?: { readonly look: number; readonly lease: number };
}

/** A lease is far longer than a channel takes to give up. */
const TIMES = { look: 300, lease: 60_000 };
const BATCH = 10;
/** How long it waits for a ledger that did not answer, milliseconds. */
export const AFTER_FAILURE = 3_000;

const FIRST_PAUSE = 2_000;
/** The longest pause between two attempts, milliseconds. */
export const LONGEST_PAUSE = 3_600_000;
/** How long it is tried at least, milliseconds. */
export const TRIED_FOR = 3 * 86_400_000;
/** So many attempts at least, so that a clock that jumps ahead ends none. */
const LEAST_ATTEMPTS = 60;

/**
 * The lease is by the database's clock, which all gateways share. What is due later than the longest pause was put off under a
 * clock that has been set back since.
 */
const CLAIM = `
  with due as (
    select id, unsure from deliveries where state = 'waiting' and channel = $1 and (due_at <= $2 or due_at > $3)
      and (leased_until is null or leased_until <= now())
    order by due_at limit ${BATCH} for update skip locked
  )
  update deliveries d set attempts = attempts + 1, first_at = coalesce(first_at, $2), unsure = true,
    leased_until = clock_timestamp() + $4 * interval '1 millisecond'
  from due, notices n where d.id = due.id and n.id = d.notice
  returning d.id, d.recipient, d.attempts, d.first_at, due.unsure as repeated, n.kind, n.data, n.at`;

/** Whoever's lease has passed over to another says nothing any more: `attempts` tells whose it is. */
const SENT = `
  update deliveries set state = 'sent', ended_at = $3, error = null, unsure = false, leased_until = null
  where id = $1 and attempts = $2`;
const FAILED = `
  update deliveries set state = $3, ended_at = $4, due_at = $5, error = $6, unsure = $7, leased_until = null
  where id = $1 and attempts = $2 and state = 'waiting'`;

interface Claimed extends Omit<Message, 'at'> {
  readonly attempts: number;
  readonly first_at: Date;
  readonly at: Date;
}

/**
 * Carries deliveries to one channel, each until it was taken or has failed for days. Of several gateways each takes other rows. One
 * that stops between sending and noting it leaves the row leased: another sends it again, with the same id.
 */
export class Courier {
  readonly #parts: CourierParts;
  readonly #stopping = new AbortController();
  readonly #nap = new Nap();
  readonly #running: Promise<void>;
  #retired = false;
  #closed: Promise<void> | null = null;

  constructor(parts: CourierParts) {
    this.#parts = parts;
    this.#running = this.#run();
  }

  /** There is something new to carry: it does not wait for the next look. */
  call(): void {
    this.#nap.call();
  }

  /** What is under way is broken off: whoever comes next sends it again. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#over();
  }

  /** Takes nothing more; what is under way is carried to its end. */
  async retire(): Promise<void> {
    this.#retired = true;
    this.#nap.call();
    await this.#over();
  }

  #over(): Promise<void> {
    this.#closed ??= this.#running.then(() => this.#parts.channel.close());
    return this.#closed;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { log, channel } = this.#parts;
    while (!signal.aborted && !this.#retired) {
      const wait = await this.#round().then(
        (full) => (full ? 0 : this.#times.look),
        (thrown: unknown) => {
          log.warn({ channel: channel.name, err: messageOf(thrown) }, 'notices wait: the ledger did not answer');
          return AFTER_FAILURE;
        },
      );
      await this.#nap.take(wait, signal);
    }
  }

  get #times() {
    return this.#parts.times ?? TIMES;
  }

  /** @returns whether there may be more at once */
  async #round(): Promise<boolean> {
    const { pool, channel, clock } = this.#parts;
    const now = clock.wall();
    const farthest = new Date(now + LONGEST_PAUSE);
    const { rows } = await pool.query<Claimed>(CLAIM, [channel.name, new Date(now), farthest, this.#times.lease]);
    await Promise.all(rows.map((row) => this.#deliver(row)));
    return rows.length === BATCH;
  }

  async #deliver(row: Claimed): Promise<void> {
    const { pool, channel, clock } = this.#parts;
    const { signal } = this.#stopping;
    // Well before the lease passes over to another: however slowly a receiver answers, one sends at a time.
    const within = this.#times.lease / 2;
    const message = { ...row, at: row.at.getTime() };
    try {
      await limited(signal, within, (limit) => unlessOver(channel.send(message, limit), limit));
    } catch (thrown) {
      if (!signal.aborted) await this.#failed(row, thrown);
      return;
    }
    await pool.query(SENT, [row.id, row.attempts, new Date(clock.wall())]);
  }

  async #failed({ id, kind, attempts, first_at, repeated }: Claimed, thrown: unknown): Promise<void> {
    const { pool, channel, clock, log } = this.#parts;
    const now = clock.wall();
    const over = attempts >= LEAST_ATTEMPTS && now - first_at.getTime() >= TRIED_FOR;
    const again = new Date(now + pauseAfter(attempts, Math.random()));
    // What may have arrived once may have, whatever became of it since.
    const unsure = repeated || !arrivedNot(thrown);
    const told = { channel: channel.name, delivery: id, kind, attempts, err: messageOf(thrown) };
    if (over) log.error(told, 'a notice could not be delivered for days, and is given up');
    else log.warn({ ...told, again }, 'a notice could not be delivered; it waits');
    const state = over ? 'failed' : 'waiting';
    await pool.query(FAILED, [id, attempts, state, over ? new Date(now) : null, again, messageOf(thrown), unsure]);
  }
}

/** Doubled from attempt to attempt up to an hour, and up to half less by chance, so that not all come at once. Milliseconds. */
export function pauseAfter(attempts: number, chance: number): number {
  const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(attempts - 1, 30));
  return Math.ceil(longest * (1 - chance / 2));
}

async function unlessOver(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let stop = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(new Error('it took too long, or the gateway stops'));
    signal.addEventListener('abort', stop, { once: true });
  });
  if (signal.aborted) stop();
  await Promise.race([work, stopped]).finally(() => signal.removeEventListener('abort', stop));
}
