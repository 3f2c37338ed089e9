import type { Pool } from 'pg';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { isOutage } from './faults.js';
import { UNSEEN } from './reap.js';
import { rebuildIndex } from './rebuild.js';

/** As `reapSessions` finds them, with or without sessions that are open still. */
const LOST = `select id, seen_at from gateways where id::text <> $2 and ${UNSEEN}`;

/**
 * What ended shortly before a gateway was seen last, or since then, and is not indexed to its end. Which session began when there is
 * an index for, of which gateway it is none: of one that lasted longer than a day it is passed over, and not all sessions are read.
 * The earliest time is a value of its own, since PostgreSQL cannot tell beforehand how much a time in another row leaves.
 */
const UNINDEXED = `
  select s.id from gateways g join sessions s on s.gateway_id = g.id
  where g.id = any($1) and s.started_at > $2::timestamptz - interval '1 day' and s.ended_at > g.seen_at - interval '10 minutes'
    and s.last_seq > coalesce((select max(i.last_seq) from block_index i where i.session_id = s.id), 0)`;

/**
 * Indexes what dead gateways had recorded to its end and not indexed any more: nobody closes those sessions in their place, and without
 * this nobody who searches would find what was done in them last.
 */
export class LeftUnindexed {
  readonly #pool: Pool;
  readonly #by: string;
  readonly #unseen: number;
  readonly #log: Log;
  /** Dead gateways of which nothing is missing. */
  #done: ReadonlySet<string> = new Set();

  /** @param by - the id of the gateway that looks @param unseen - seconds after which another one is lost */
  constructor(pool: Pool, by: string, unseen: number, log: Log) {
    this.#pool = pool;
    this.#by = by;
    this.#unseen = unseen;
    this.#log = log;
  }

  /** @throws what `pg` does while the ledger is away: it is all done again the next time */
  async index(): Promise<void> {
    const { rows: lost } = await this.#pool.query<{ id: string; seen_at: Date }>(LOST, [this.#unseen, this.#by]);
    const fresh = lost.filter(({ id }) => !this.#done.has(id));
    if (fresh.length > 0) {
      const earliest = new Date(Math.min(...fresh.map(({ seen_at }) => seen_at.getTime())));
      const found = await this.#pool.query<{ id: string }>(UNINDEXED, [fresh.map(({ id }) => id), earliest]);
      for (const { id } of found.rows) await this.#rebuild(id);
    }
    this.#done = new Set(lost.map(({ id }) => id));
  }

  /** One that cannot be indexed must not keep others from it. */
  async #rebuild(session: string): Promise<void> {
    try {
      await rebuildIndex(this.#pool, { session });
    } catch (thrown) {
      if (isOutage(thrown)) throw thrown;
      this.#log.warn({ session, err: messageOf(thrown) }, 'a session of a lost gateway could not be indexed');
    }
  }
}
