import type { Pool, PoolClient } from 'pg';
import type { AlertSettings } from '../config/alerts.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { type Alert, lockAlerts } from '../recording/alerts.js';
import type { IndexRow } from '../recording/summary.js';
import { MOST } from './rules/rule.js';
import type { AlertWatch } from './watch.js';

export interface BurstsParts {
  readonly pool: Pool;
  readonly watch: Pick<AlertWatch, 'found'>;
  readonly settings: AlertSettings['denials'];
  readonly log: Log;
}

interface Burst {
  readonly principal: string;
  readonly denied: number;
  readonly processes: number;
  readonly at: Date;
  readonly session: string;
  readonly service: string;
  readonly grant_id: string;
  readonly reasons: readonly string[];
}

/**
 * Whose refusals come to a burst over all of their sessions, wherever these are, since they were told of last. What it reads is
 * bounded: sessions of the time that is looked at, of very many the newest, and of each the rows that fit into that time.
 */
const FIND = `
  select p.principal, sum(i.denied)::int as denied, count(distinct s.gateway_id)::int as processes, max(i.to_at) as at,
    (array_agg(s.id order by i.to_at desc))[1] as session, (array_agg(s.service order by i.to_at desc))[1] as service,
    (array_agg(s.grant_id order by i.to_at desc))[1] as grant_id,
    (array_agg(to_json(i.reasons) order by i.to_at desc))[1] as reasons
  from (select distinct principal from sessions where id = any($1)) p
  cross join lateral (select max(coalesce(last_at, at)) as at from alerts
    where kind = 'denials' and subject = 'person:' || p.principal) told
  cross join lateral (select id, gateway_id, service, grant_id from sessions
    where principal = p.principal and (ended_at is null or ended_at > $2) order by started_at desc limit 1000) s
  join lateral (select denied, from_at, to_at, reasons from block_index
    where session_id = s.id order by first_seq desc limit $4) i
    on i.denied > 0 and i.to_at > $2 and i.from_at > coalesce(told.at, '-infinity')
  group by p.principal having sum(i.denied) >= $3`;

/** A session has no more rows in the index: each is of half a second. */
const ROWS_A_SECOND = 2;

/**
 * Bursts of refusals that are spread over several processes, none of which has seen enough of them. Each process asks the ledger
 * when what it has indexed itself holds a refusal: whoever writes the last part of a burst sees all of it. One query for all who
 * were refused anything, twice a second at most.
 */
export class Bursts {
  readonly #parts: BurstsParts;
  readonly #sessions = new Set<string>();
  #newest = 0;
  #asking: Promise<void> | null = null;

  constructor(parts: BurstsParts) {
    this.#parts = parts;
  }

  /** Hears of rows that are in the index. Returns at once and never throws. */
  readonly indexed = (rows: readonly Pick<IndexRow, 'sessionId' | 'denied' | 'toAt'>[]): void => {
    for (const { sessionId, denied, toAt } of rows) {
      if (denied === 0 || this.#sessions.size >= MOST) continue;
      this.#sessions.add(sessionId);
      this.#newest = Math.max(this.#newest, toAt);
    }
    this.#begin();
  };

  /** Resolves when everything that was indexed was tried to be looked at. */
  async settled(): Promise<void> {
    while (this.#asking !== null) await this.#asking;
  }

  /** What could not be asked is asked with the next refusal. */
  #begin(): void {
    if (this.#asking !== null || this.#sessions.size === 0) return;
    const asked = [...this.#sessions];
    this.#sessions.clear();
    this.#asking = this.#ask(asked).then(
      () => this.#done(),
      (thrown: unknown) => {
        this.#parts.log.warn({ err: messageOf(thrown) }, 'the ledger could not be asked for bursts of refusals');
        for (const session of asked) this.#sessions.add(session);
        this.#asking = null;
      },
    );
  }

  #done(): void {
    this.#asking = null;
    this.#begin();
  }

  async #ask(sessions: readonly string[]): Promise<void> {
    const { pool, watch } = this.#parts;
    for (const { principal, session } of await this.#find(pool, sessions)) {
      // Looked at anew under the lock: another process may have told of it meanwhile.
      const look = async (client: PoolClient) => {
        await lockAlerts(client, 'denials', subjectOf(principal));
        const [burst] = await this.#find(client, [session]);
        return burst === undefined ? null : this.#alertOf(burst);
      };
      watch.found({ key: `burst ${principal}`, look });
    }
  }

  async #find(client: Pool | PoolClient, sessions: readonly string[]): Promise<readonly Burst[]> {
    const { within, count } = this.#parts.settings;
    const since = new Date(this.#newest - within * 1000);
    return (await client.query<Burst>(FIND, [sessions, since, count, within * ROWS_A_SECOND + 10])).rows;
  }

  #alertOf({ principal, denied, processes, at, session, service, grant_id: grant, reasons }: Burst): Alert {
    const detail = { denials: denied, withinSeconds: this.#parts.settings.within, processes, reason: reasons[0] ?? '' };
    const about = { principal, service, grant, session, detail, at: at.getTime() };
    return { kind: 'denials', subject: subjectOf(principal), ...about };
  }
}

function subjectOf(principal: string): string {
  return `person:${principal}`;
}
