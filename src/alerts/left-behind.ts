import type { Pool, PoolClient } from 'pg';
import type { AlertSettings } from '../config/alerts.js';
import { type Alert, lockAlerts } from '../recording/alerts.js';
import { eventsOf, readBlocks } from '../recording/blocks.js';
import type { Bursts } from './bursts.js';
import type { Finding, Watched } from './rules/rule.js';
import { volumeOf } from './rules/volume.js';
import { type AlertWatch, momentaryRules } from './watch.js';

export interface LeftBehindParts {
  readonly pool: Pool;
  readonly watch: Pick<AlertWatch, 'found'>;
  readonly bursts: Pick<Bursts, 'indexed'>;
  readonly settings: AlertSettings;
}

interface Lost extends Watched {
  readonly rows: number;
  readonly bytes: number;
  readonly denied: number;
  readonly at: Date;
}

const LOST = `
  select s.id as session, s.grant_id as grant, s.principal, s.service, sum(i.rows)::float8 as rows,
    sum(i.bytes_out)::float8 as bytes, sum(i.denied)::int as denied, max(i.to_at) filter (where i.actions > 0 or i.rows > 0) as at
  from sessions s join block_index i on i.session_id = s.id where s.id = $1 group by s.id`;

/** From which block on: what was recorded a minute before the end, which another wrote as the last one. */
const LAST = `
  select min(first_seq) as first from blocks where session_id = $1 and to_at > (
    select to_at - interval '1 minute' from blocks where session_id = $1 order by first_seq desc offset 1 limit 1)`;

const TOLD = {
  since: 'select from alerts where kind = $1 and subject = $2 and coalesce(last_at, at) >= $3 limit 1',
  of: 'select from alerts where kind = $1 and subject = $2 and session_id = $3 limit 1',
};

/**
 * Holds the rules against the end of a session whose gateway died: what it had recorded last it may not have told of. What was
 * told is not told again: where there is an alert of that kind and subject from that moment or later.
 */
export class LeftBehind {
  readonly #parts: LeftBehindParts;

  constructor(parts: LeftBehindParts) {
    this.#parts = parts;
  }

  /**
   * Looks at a session that was closed in place of its gateway, and indexed.
   * @throws what `pg` does, DaypassError `record_damaged`
   */
  readonly look = async (session: string): Promise<void> => {
    const { pool, bursts } = this.#parts;
    const [lost] = (await pool.query<Lost>(LOST, [session])).rows;
    if (lost === undefined || lost.at === null) return;
    await this.#replay(lost);
    this.#volume(lost);
    bursts.indexed([{ sessionId: session, denied: lost.denied, toAt: lost.at.getTime() }]);
  };

  async #replay(lost: Lost): Promise<void> {
    const { pool, settings } = this.#parts;
    const [row] = (await pool.query<{ first: string | null }>(LAST, [lost.session])).rows;
    if (row === undefined || row.first === null) return;
    const rules = momentaryRules(settings);
    for await (const block of readBlocks(pool, lost.session, String(BigInt(row.first) - 1n))) {
      for (const event of eventsOf(block)) {
        for (const rule of rules) this.#found(rule(lost, event), (alert) => [TOLD.since, new Date(alert.at)]);
      }
    }
  }

  #volume({ rows, bytes, at, ...lost }: Lost): void {
    const { volume } = this.#parts.settings;
    if (!volume.enabled || (rows < volume.rows && bytes < volume.bytes)) return;
    const look = (client: PoolClient) => volumeOf(client, volume, lost, { rows, bytes }, at.getTime());
    this.#found({ key: `volume ${lost.session}`, look }, () => [TOLD.of, lost.session]);
  }

  #found(finding: Finding | null, told: (alert: Alert) => readonly [text: string, value: unknown]): void {
    if (finding === null) return;
    const look = async (client: PoolClient) => {
      const alert = await finding.look(client);
      if (alert === null) return null;
      await lockAlerts(client, alert.kind, alert.subject);
      const [text, value] = told(alert);
      const { rowCount } = await client.query(text, [alert.kind, alert.subject, value]);
      return rowCount === 0 ? alert : null;
    };
    this.#parts.watch.found({ key: `left behind: ${finding.key}`, look });
  }
}
