import type { Pool } from 'pg';
import { appendAudit } from '../audit/append.js';
import type { Clock } from '../clock.js';
import { DaypassError } from '../errors.js';
import type { Actor } from '../identity/actor.js';
import type { Alert } from '../recording/alerts.js';
import { pageOf } from '../recording/page.js';
import { inTransaction } from '../recording/transaction.js';

/** An alert as it stands in the ledger. Times are milliseconds since the epoch. */
export interface AlertView extends Pick<Alert, 'principal' | 'service' | 'grant' | 'session' | 'detail' | 'at'> {
  readonly id: string;
  /** Also one that this release raises no more. */
  readonly kind: string;
  /** How often it was found, and when last. */
  readonly count: number;
  readonly lastAt: number;
  readonly acknowledgedAt: number | null;
  readonly acknowledgedBy: string | null;
  readonly comment: string | null;
}

export interface AlertFilter {
  /** Only those that nobody acknowledged. */
  readonly open?: boolean | undefined;
  readonly kind?: string | undefined;
  readonly person?: string | undefined;
  readonly service?: string | undefined;
  readonly limit: number;
  /** The id of the last one seen. */
  readonly cursor?: string | undefined;
}

export interface AlertPage {
  /** The newest first. */
  readonly alerts: readonly AlertView[];
  readonly next: string | null;
}

interface Row {
  readonly id: string;
  readonly kind: string;
  readonly principal: string | null;
  readonly service: string | null;
  readonly grant_id: string | null;
  readonly session_id: string | null;
  readonly detail: AlertView['detail'];
  readonly at: Date;
  readonly count: number;
  readonly last_at: Date | null;
  readonly acknowledged_at: Date | null;
  readonly acknowledged_by: string | null;
  readonly comment: string | null;
}

const LIST = `
  select * from alerts where ($1::boolean is not true or acknowledged_at is null) and ($2::text is null or kind = $2)
    and ($3::text is null or principal = $3) and ($4::text is null or service = $4) and ($5::uuid is null or id < $5)
  order by id desc limit $6`;

/** Reads alerts, and notes who has seen to them. */
export class AlertBook {
  readonly #pool: Pool;
  readonly #clock: Clock;

  constructor(pool: Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  async list({ open, kind, person, service, limit, cursor }: AlertFilter): Promise<AlertPage> {
    const values = [open ?? null, kind ?? null, person ?? null, service ?? null, cursor ?? null, limit + 1];
    const { rows } = await this.#pool.query<Row>(LIST, values);
    const { shown, next } = pageOf(rows, limit, ({ id }) => id);
    return { alerts: shown.map(viewOf), next };
  }

  /** Closes an alert: what is found from then on is another one. @throws DaypassError `unknown_alert`, `already_decided` */
  acknowledge({ subject: by, via }: Actor, id: string, comment: string): Promise<AlertView> {
    return inTransaction(this.#pool, async (client) => {
      const held = await client.query<Row>('select * from alerts where id = $1 for update', [id]);
      const alert = held.rows[0];
      if (alert === undefined) throw new DaypassError('unknown_alert', 'There is no such alert.');
      if (alert.acknowledged_by !== null)
        throw new DaypassError('already_decided', `${alert.acknowledged_by} has acknowledged it.`);
      const changed = await client.query<Row>(
        'update alerts set acknowledged_at = $2, acknowledged_by = $3, comment = $4 where id = $1 returning *',
        [id, new Date(this.#clock.wall()), by, comment],
      );
      const act = { act: 'alert.acknowledge', target: `alert:${id}`, reason: comment, result: 'done' } as const;
      await appendAudit(client, { actor: by, via, ...act, detail: { kind: alert.kind } });
      return viewOf(changed.rows[0] ?? alert);
    });
  }
}

function viewOf(row: Row): AlertView {
  const { id, kind, principal, service, grant_id: grant, session_id: session, detail, at, count, last_at } = row;
  return {
    ...{ id, kind, principal, service, grant, session, detail, count },
    ...{ at: at.getTime(), lastAt: (last_at ?? at).getTime() },
    acknowledgedAt: row.acknowledged_at?.getTime() ?? null,
    acknowledgedBy: row.acknowledged_by,
    comment: row.comment,
  };
}
