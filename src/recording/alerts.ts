import type { PoolClient } from 'pg';
import type { AlertKind } from '../config/alerts.js';
import type { Json } from './event.js';
import { storable } from './summary.js';
import { uuid7 } from './uuid7.js';

/** Something that somebody should look at. */
export interface Alert {
  readonly kind: AlertKind;
  /** What it is about: alerts of one kind and subject are one while it is open. */
  readonly subject: string;
  readonly principal: string | null;
  readonly service: string | null;
  readonly grant: string | null;
  readonly session: string | null;
  readonly detail: { readonly [fact: string]: Json };
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Told once for good: found again, it is not counted. */
  readonly once?: boolean;
}

/** Raises an alert in the caller's transaction. @returns its id; null when there is one already, or its rule is off */
export type Raise = (client: PoolClient, alert: Alert, times?: number) => Promise<string | null>;

/** Any number of its own: alerts of one kind and subject are written one after the other. */
const LOCK = 0x6470_616c;

const COUNT = `
  update alerts set count = count + $3, last_at = greatest(coalesce(last_at, at), $4)
  where id = (select id from alerts where kind = $1 and subject = $2 and acknowledged_at is null and at > $5
    order by at desc limit 1)`;

/** How many things of a list, and how much of a text, an alert tells: the record has the rest. */
const MOST = 20;
const LONGEST = 500;

/** What was found as it may be kept and sent on: bounded, without handles, and what Postgres takes. */
export function tellable(detail: Alert['detail']): Alert['detail'] {
  return Object.fromEntries(Object.entries(detail).map(([fact, value]) => [fact, bounded(value)]));
}

function bounded(value: Json): Json {
  if (typeof value === 'string') return storable(storable(value).slice(0, LONGEST)); // the cut may halve a character
  return Array.isArray(value) ? value.slice(0, MOST).map(bounded) : value;
}

/** Until the transaction ends nobody else writes an alert of this kind and subject. @throws what `pg` does */
export async function lockAlerts(client: PoolClient, kind: AlertKind, subject: string): Promise<void> {
  await client.query('select pg_advisory_xact_lock($1, hashtext($2))', [LOCK, `${kind} ${subject}`]);
}

/**
 * Writes an alert into the ledger, or counts it where one of its kind and subject is open.
 * @param times - how often it was found since it was written last
 * @param within - how long an open one stands for those that follow, milliseconds
 * @throws what `pg` does
 */
export async function raiseAlert(client: PoolClient, alert: Alert, times = 1, within = 0): Promise<string | null> {
  const { kind, subject, principal, service, grant, session, detail, at, once = false } = alert;
  await lockAlerts(client, kind, subject);
  if (once) {
    const there = await client.query('select from alerts where kind = $1 and subject = $2 limit 1', [kind, subject]);
    if (there.rowCount !== 0) return null;
  }
  const counted = await client.query(COUNT, [kind, subject, times, new Date(at), new Date(at - within)]);
  if (counted.rowCount !== 0) return null;
  const id = uuid7(at);
  await client.query(
    `insert into alerts (id, kind, subject, principal, service, grant_id, session_id, detail, at, last_at, count)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)`,
    [id, kind, subject, principal, service, grant, session, tellable(detail), new Date(at), times],
  );
  return id;
}
