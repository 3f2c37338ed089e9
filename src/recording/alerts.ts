import type { Pool, PoolClient } from 'pg';
import type { Json } from './event.js';
import { uuid7 } from './uuid7.js';

/** Something that somebody should look at. `at` is milliseconds since the epoch. */
export interface Alert {
  readonly kind: string;
  readonly principal: string;
  readonly service: string;
  readonly grant: string | null;
  readonly session: string | null;
  readonly detail: { readonly [fact: string]: Json };
  readonly at: number;
}

/** Writes an alert into the ledger. @throws what `pg` does */
export async function raiseAlert(database: Pool | PoolClient, alert: Alert): Promise<void> {
  const { kind, principal, service, grant, session, detail, at } = alert;
  await database.query(
    `insert into alerts (id, kind, principal, service, grant_id, session_id, detail, at)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [uuid7(at), kind, principal, service, grant, session, detail, new Date(at)],
  );
}
