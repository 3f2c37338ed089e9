import type { Pool } from 'pg';
import { rebuildIndex } from './rebuild.js';

/** As `reapSessions` finds them, with or without sessions that are open still. */
const LOST = `
  select id from gateways where id::text <> $2 and abs(extract(epoch from now() - seen_at)) > $1`;

/**
 * What ended shortly before a gateway was seen last, or since then, and is not indexed to its end. Which session began when there is
 * an index for: of one that lasted longer than a day that one is passed over.
 */
const UNINDEXED = `
  select s.id from gateways g join sessions s on s.gateway_id = g.id
  where g.id = any($1) and s.started_at > g.seen_at - interval '1 day' and s.ended_at > g.seen_at - interval '10 minutes'
    and s.last_seq > coalesce((select max(i.last_seq) from block_index i where i.session_id = s.id), 0)`;

/**
 * Indexes what dead gateways had recorded to its end and not indexed any more: nobody closes those sessions in their place, and without
 * this nobody who searches would find what was done in them last.
 */
export class LeftUnindexed {
  readonly #pool: Pool;
  readonly #by: string;
  readonly #unseen: number;
  /** Dead gateways of which nothing is missing. */
  #done: ReadonlySet<string> = new Set();

  /** @param by - the id of the gateway that looks @param unseen - seconds after which another one is lost */
  constructor(pool: Pool, by: string, unseen: number) {
    this.#pool = pool;
    this.#by = by;
    this.#unseen = unseen;
  }

  /** @throws what `pg` does: it is all done again the next time */
  async index(): Promise<void> {
    const { rows } = await this.#pool.query<{ id: string }>(LOST, [this.#unseen, this.#by]);
    const lost = rows.map(({ id }) => id);
    const fresh = lost.filter((id) => !this.#done.has(id));
    if (fresh.length > 0) {
      const { rows: sessions } = await this.#pool.query<{ id: string }>(UNINDEXED, [fresh]);
      for (const { id } of sessions) await rebuildIndex(this.#pool, { session: id });
    }
    this.#done = new Set(lost);
  }
}
