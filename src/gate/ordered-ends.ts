import { setTimeout as pause } from 'node:timers/promises';
import type { Pool } from 'pg';
import { appendAudit } from '../audit/append.js';
import { messageOf } from '../errors.js';
import type { Door } from '../grant/record.js';
import type { GrantStore } from '../grant/store.js';
import type { Log } from '../log.js';
import { timed } from '../recording/timed.js';
import { inTransaction } from '../recording/transaction.js';
import type { Registry } from '../session/registry.js';

/** Who ends a session, and why. */
export interface EndOrder {
  readonly session: string;
  readonly by: string;
  readonly via: Door;
  readonly reason: string;
}

export interface OrderedEndsParts {
  readonly pool: Pool;
  /** Its feed reaches every gateway. */
  readonly store: Pick<GrantStore, 'announce' | 'subscribe'>;
  readonly registry: Pick<Registry, 'get' | 'heldIds'>;
  readonly log: Log;
}

/** How often the ledger is asked in case the feed is deaf, and how long it may take for an answer, milliseconds. */
const EVERY = 2_000;
const WITHIN = 2_000;
/** How long the end is waited for, and how often the record is asked, milliseconds. */
const CONFIRM_WITHIN = 5_000;
const ASK_EVERY = 100;

/** In the feed, beside ids of grants: 22 characters without a colon. */
const PREFIX = 'session:';

const ORDER =
  'insert into session_ends (session_id, by, reason) values ($1, $2, $3) on conflict (session_id) do nothing';
/** By the ledger's own clock. A gateway that hears nothing for longer has cut what it had. */
const ORDERED = `
  select session_id, by, reason from session_ends where at > now() - interval '1 hour' and ($1::uuid is null or session_id = $1)`;
/** A gateway unseen for 45 s is gone: its sessions are closed by another. */
const STANDING = `
  select s.ended_at is not null as ended, coalesce(g.seen_at > now() - interval '45 seconds', false) as lives
  from sessions s left join gateways g on g.id = s.gateway_id where s.id = $1`;

interface Ordered {
  readonly session_id: string;
  readonly by: string;
  readonly reason: string;
}

/**
 * Ends live sessions by hand, on whichever gateway they are. As with revocations the ledger has the authority and the feed carries
 * an id alone: whoever has the session reads there who ends it and why, at once when the feed tells, or within 2 s.
 */
export class OrderedEnds {
  readonly #parts: OrderedEndsParts;
  #unsubscribe: (() => Promise<void>) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(parts: OrderedEndsParts) {
    this.#parts = parts;
  }

  /** Resolves after the first attempt to hear the feed; what cannot be heard is tried again until `stop`. */
  async start(): Promise<void> {
    await this.#subscribe();
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#unsubscribe?.();
  }

  /** Ends a session that is live on this gateway. @returns whether it was */
  endHere({ session: id, by, reason }: Pick<EndOrder, 'session' | 'by' | 'reason'>): boolean {
    const session = this.#parts.registry.get(id);
    if (session === undefined) return false;
    session.recording.append('notice', { about: 'ended_by_operator', by, why: reason });
    session.cut('ended');
    this.#parts.log.info({ session: id, by, why: reason }, 'a session was ended by hand');
    return true;
  }

  /**
   * Has a session ended by the gateway that it is live on; with its line in the audit log.
   * @returns whether the record says within 5 s that it has ended. If not, the order stands: it ends as soon as its gateway reads it
   * @throws DaypassError `audit_unavailable`, or what `pg` does: nothing was ordered then
   */
  async order({ session, by, via, reason }: EndOrder): Promise<boolean> {
    const { pool, store, log } = this.#parts;
    await inTransaction(pool, async (client) => {
      await client.query(ORDER, [session, by, reason]);
      const line = {
        actor: by,
        via,
        act: 'session.end',
        target: `session:${session}`,
        reason,
        result: 'done',
      } as const;
      await appendAudit(client, { ...line, detail: { elsewhere: true } });
    });
    await store.announce(`${PREFIX}${session}`).catch((thrown: unknown) => {
      log.warn({ session, err: messageOf(thrown) }, 'the end of a session waits for its gateway to ask the ledger');
    });
    return this.#confirmed(session);
  }

  async #confirmed(session: string): Promise<boolean> {
    for (let waited = 0; ; waited += ASK_EVERY) {
      const { rows } = await this.#parts.pool.query<{ ended: boolean; lives: boolean }>(STANDING, [session]);
      const { ended = false, lives = false } = rows[0] ?? {};
      if (ended || !lives || waited >= CONFIRM_WITHIN) return ended;
      await pause(ASK_EVERY);
    }
  }

  #arm(): void {
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#round(), EVERY);
  }

  /** The next round is armed when this one is over: they never overlap. */
  async #round(): Promise<void> {
    await this.#subscribe();
    if (this.#parts.registry.heldIds().length > 0) await this.#cutOrdered(null);
    this.#arm();
  }

  async #subscribe(): Promise<void> {
    if (this.#unsubscribe !== undefined || this.#stopped) return;
    const { store, log } = this.#parts;
    // What was ordered while the feed was lost is found by the next round.
    this.#unsubscribe = await store
      .subscribe((id) => this.#heard(id))
      .catch((thrown: unknown) => {
        log.debug({ err: messageOf(thrown) }, 'ends of sessions are not heard yet');
        return undefined;
      });
  }

  /** Says nothing of itself: whoever may write to the feed ends nothing by it. */
  #heard(message: string): void {
    const id = message.slice(PREFIX.length);
    if (message.startsWith(PREFIX) && this.#parts.registry.get(id) !== undefined) void this.#cutOrdered(id);
  }

  async #cutOrdered(id: string | null): Promise<void> {
    try {
      const { rows } = await this.#parts.pool.query<Ordered>(timed(WITHIN, ORDERED, [id]));
      for (const { session_id: session, by, reason } of rows) this.endHere({ session, by, reason });
    } catch (thrown) {
      this.#parts.log.debug({ err: messageOf(thrown) }, 'the ledger did not say which sessions are to end');
    }
  }
}
