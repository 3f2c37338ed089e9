import { hostname } from 'node:os';
import type { Pool } from 'pg';
import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { reapSessions, UNSEEN_SECONDS } from './reap.js';
import { rebuildIndex } from './rebuild.js';
import { timed } from './timed.js';
import { Unbroken } from './unbroken.js';
import { LeftUnindexed } from './unindexed.js';

export interface PresenceOptions {
  /** Its queries need a limit (`answerWithin`): one that is never answered would keep the next from being asked. */
  readonly pool: Pool;
  /** Fresh for every process: a restarted gateway is another one. */
  readonly gatewayId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Called for each session of a dead gateway that was closed here and indexed. */
  readonly reaped?: (session: string) => Promise<void>;
  /** Called now and then, for what else is to be looked after. */
  readonly beat?: () => Promise<void>;
  /** How often it reports, milliseconds; everything else here is a multiple. */
  readonly beatEvery?: number;
}

const BEAT = 10_000;
/** A gateway unseen for so many beats is lost: 45 s. Less than that the ledger must not have answered to say so. */
const UNSEEN_BEATS = (UNSEEN_SECONDS * 1_000) / BEAT;

const SEEN = `
  insert into gateways (id, started_at, seen_at, host, pid) values ($1, now(), now(), $2, $3)
  on conflict (id) do update set seen_at = now() returning seen_at`;

/** Rows of gateways that are long gone and have no open session. */
const FORGET = `
  delete from gateways g where g.seen_at < now() - interval '1 day'
  and not exists (select from sessions s where s.gateway_id = g.id and s.ended_at is null)`;

/**
 * Tells the ledger that this gateway lives, and closes the sessions of those that do not. Times are the database's, so
 * that the gateways' clocks need not agree.
 *
 * When the ledger comes back from an outage nobody has been seen for as long as it lasted, and all may live. So a gateway
 * takes nobody for lost before the ledger has answered itself for as long as the others may be unseen: whoever lives has
 * reported by then. This holds from the start on, since a gateway cannot know what was before. A dead gateway is found within
 * 45 + 5 s of its death, of the start of the gateway that finds it, or of the ledger's return.
 */
export class Presence {
  readonly #options: PresenceOptions;
  readonly #beatEvery: number;
  readonly #unbroken: Unbroken;
  readonly #unindexed: LeftUnindexed;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #working = new Set<Promise<unknown>>();
  /** What is under way, by its name: it is not begun again meanwhile. */
  readonly #busy = new Set<string>();
  #beating: Promise<boolean> | null = null;
  /** Whether the ledger took the last beat. */
  answers = true;
  /** Called now and then while others may have taken this gateway for lost: the ledger has not heard of it without a break. */
  doubted: () => Promise<void> = async () => {};

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.#beatEvery = options.beatEvery ?? BEAT;
    this.#unbroken = new Unbroken(2 * this.#beatEvery);
    this.#unindexed = new LeftUnindexed(options.pool, options.gatewayId, this.#unseen / 1_000, options.log);
  }

  /** Writes this gateway's row (throws when that fails) and goes on from there. */
  async start(): Promise<void> {
    await this.#report();
    this.#timers.push(
      setInterval(() => this.#track(this.#beat()), this.#beatEvery).unref(),
      setInterval(
        () => this.#once('the ledger could not be looked after', async () => this.#options.beat?.()),
        this.#beatEvery,
      ).unref(),
      // Half a beat: so a gateway that died just after a beat is found within 45 + 5 s.
      setInterval(
        () => this.#once('lost sessions could not be looked for', () => this.#look()),
        this.#beatEvery / 2,
      ).unref(),
    );
  }

  /**
   * Closes what dead gateways left open and indexes what they had not.
   * @returns the sessions that were closed
   */
  async reap(): Promise<readonly string[]> {
    const { pool, gatewayId, clock, log } = this.#options;
    const closed = await reapSessions(pool, gatewayId, clock.wall(), this.#unseen / 1_000);
    for (const session of closed) {
      log.warn({ session }, 'a session whose gateway is gone was closed as interrupted');
      await rebuildIndex(pool, { session }).catch((thrown) =>
        log.warn({ session, err: messageOf(thrown) }, 'an interrupted session could not be indexed'),
      );
      await this.#options
        .reaped?.(session)
        .catch((thrown) =>
          log.warn({ session, err: messageOf(thrown) }, 'an interrupted session could not be looked at for alerts'),
        );
    }
    await this.#unindexed.index();
    await pool.query(FORGET); // not before: what is to be indexed is found by them
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

  /** How long a gateway may be unseen, milliseconds. */
  get #unseen(): number {
    return UNSEEN_BEATS * this.#beatEvery;
  }

  #track(work: Promise<unknown>): void {
    this.#working.add(work);
    void work.finally(() => this.#working.delete(work));
  }

  /** Does some work unless it is under way; `failing` is said when it throws. */
  #once(failing: string, work: () => Promise<void>): void {
    if (this.#busy.has(failing)) return;
    this.#busy.add(failing);
    const done = work()
      .catch((thrown) => this.#options.log.warn({ err: messageOf(thrown) }, failing))
      .finally(() => this.#busy.delete(failing));
    this.#track(done);
  }

  /** Writes this gateway's row. A connection that has gone half open is given up within half a beat. */
  async #report(): Promise<void> {
    const values = [this.#options.gatewayId, hostname(), process.pid];
    const write = timed(this.#beatEvery / 2, SEEN, values);
    const { rows } = await this.#options.pool.query<{ seen_at: Date }>(write);
    this.#unbroken.answered(rows[0]?.seen_at.getTime() ?? 0);
  }

  /** Reports, and says so when the ledger does not answer. @returns whether it did */
  #beat(): Promise<boolean> {
    this.#beating ??= this.#report()
      .then(
        () => true,
        (thrown) => {
          this.#unbroken.failed();
          this.#options.log.warn({ err: messageOf(thrown) }, 'the gateway could not report to the ledger');
          return false;
        },
      )
      .then((answers) => {
        this.#beating = null;
        this.answers = answers;
        return answers;
      });
    return this.#beating;
  }

  async #look(): Promise<void> {
    if (!(await this.#beat())) return;
    if (this.#unbroken.length >= this.#unseen) await this.reap();
    else await this.doubted();
  }
}
