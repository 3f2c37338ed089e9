import { hostname } from 'node:os';
import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { reapSessions } from './reap.js';
import { rebuildIndex } from './rebuild.js';

export interface PresenceOptions {
  readonly pool: Pool;
  /** Fresh for every process: a restarted gateway is another one. */
  readonly gatewayId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Called at every beat, for what else is to be looked after now and then. Must not throw. */
  readonly beat?: () => Promise<void>;
}

const BEAT = 10_000;
/** Half a beat: so a gateway that died just after a beat is found within 45 + 5 s. */
const REAP = 5_000;

const SEEN = `
  insert into gateways (id, started_at, seen_at, host, pid) values ($1, now(), now(), $2, $3)
  on conflict (id) do update set seen_at = now()`;

/** Rows of gateways that are long gone and have no open session. */
const FORGET = `
  delete from gateways g where g.seen_at < now() - interval '1 day'
  and not exists (select from sessions s where s.gateway_id = g.id and s.ended_at is null)`;

/**
 * Tells the ledger that this gateway lives, and closes the sessions of those that do not. Times are the database's, so
 * that the gateways' clocks need not agree.
 */
export class Presence {
  readonly #options: PresenceOptions;
  readonly #timers: NodeJS.Timeout[] = [];
  #working = new Set<Promise<void>>();
  #beating = false;
  #reaping = false;
  /** Whether the ledger took the last beat. */
  answers = true;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** Writes this gateway's row (throws when that fails) and goes on from there. */
  async start(): Promise<void> {
    await this.#seen();
    this.#timers.push(
      setInterval(() => this.#track(this.#beat()), BEAT).unref(),
      setInterval(() => this.#track(this.#reap()), REAP).unref(),
    );
    this.#track(this.#reap());
  }

  /**
   * Closes what dead gateways left open and indexes what they had not.
   * @returns the sessions that were closed
   */
  async reap(): Promise<readonly string[]> {
    const { pool, gatewayId, clock, log } = this.#options;
    const closed = await reapSessions(pool, gatewayId, clock.wall());
    for (const session of closed) {
      log.warn({ session }, 'a session whose gateway is gone was closed as interrupted');
      await rebuildIndex(pool, { session }).catch((thrown) =>
        log.warn({ session, err: messageOf(thrown) }, 'an interrupted session could not be indexed'),
      );
    }
    return closed;
  }

  /** An orderly end: the row goes, so that whatever is still open is closed by others at once. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(this.#working);
    const { pool, gatewayId, log } = this.#options;
    await pool.query('delete from gateways where id = $1', [gatewayId]).catch((thrown) => {
      log.warn({ err: messageOf(thrown) }, 'the gateway could not sign off; its row is taken for lost in 45 s');
    });
  }

  #track(work: Promise<void>): void {
    this.#working.add(work);
    void work.finally(() => this.#working.delete(work));
  }

  async #seen(): Promise<void> {
    await this.#options.pool.query(SEEN, [this.#options.gatewayId, hostname(), process.pid]);
  }

  async #beat(): Promise<void> {
    if (this.#beating) return;
    this.#beating = true;
    try {
      await this.#seen();
      this.answers = true;
      await this.#options.pool.query(FORGET);
      await this.#options.beat?.();
    } catch (thrown) {
      this.answers = false;
      this.#options.log.warn({ err: messageOf(thrown) }, 'the gateway could not report to the ledger');
    } finally {
      this.#beating = false;
    }
  }

  async #reap(): Promise<void> {
    if (this.#reaping) return;
    this.#reaping = true;
    try {
      await this.reap();
    } catch (thrown) {
      this.#options.log.warn({ err: messageOf(thrown) }, 'lost sessions could not be looked for');
    } finally {
      this.#reaping = false;
    }
  }
}
