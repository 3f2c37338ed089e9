import type { Pool } from 'pg';
import type { ServiceOwner } from './leaving-parts.js';
import { UNSEEN } from './leaving-sessions.js';

/** What is left to people after somebody left. Times are ISO 8601. */
export interface NeedsHand {
  /** Contractors who need another sponsor: those without an account an invitation that names one. */
  readonly reassign: readonly { readonly subject: string; readonly suspended: number; readonly account: boolean }[];
  /** Secrets of services whose bytes reached them: rotate them. */
  readonly rotate: readonly {
    readonly secret: string;
    readonly service: string;
    readonly sessions: readonly string[];
    /** How many sessions there were; some of them are listed. */
    readonly count: number;
    readonly first: string;
    readonly last: string;
  }[];
  /** Emergency access of theirs that nobody has reviewed. */
  readonly review: readonly { readonly request: string; readonly service: string; readonly due: string | null }[];
  /** Requests that wait and have their approval: it stays. */
  readonly approved: readonly { readonly request: string; readonly principal: string; readonly service: string }[];
  /** Services that nobody owns any more. */
  readonly ownerless: readonly ServiceOwner[];
  /** Sessions whose end could not be confirmed. */
  readonly unconfirmed: readonly {
    readonly session: string;
    readonly service: string;
    readonly gateway: string;
    readonly unseen: boolean;
  }[];
}

type Row = Readonly<Record<string, unknown>>;

interface Reading {
  readonly pool: Pool;
  readonly services: () => Iterable<ServiceOwner>;
}

/** How many sessions are named for each secret. */
const NAMED = 20;

const REASSIGN = `
  select w.*, exists (select from people a where a.subject = w.subject) as account
  from (select coalesce(p.subject, n.principal) as subject, count(n.grant_id)::int as suspended
    from (select * from people where sponsor = $1 and closed_at is null) p
    full join (
      select s.* from sponsor_suspensions s join grants g on g.id = s.grant_id and g.revoked_at is null and g.expires_at > $2
      where s.sponsor = $1 and s.resumed_at is null) n on n.principal = p.subject
    group by 1) w
  order by 1`;

const ROTATE = `
  select secret, service, count(*)::int as count, min(at) as first, max(at) as last,
    (array_agg(session_id::text order by session_id))[1:${NAMED}] as sessions
  from secret_sightings where principal = $1 group by secret, service order by service, secret`;

const REVIEW = `
  select id, service, review_due from access_requests
  where principal = $1 and kind = 'break_glass' and activated_at is not null and reviewed_at is null order by id`;

const APPROVED = `
  select r.id, r.principal, r.service from approvals a join access_requests r on r.id = a.request_id
  where a.approver = $1 and a.outcome = 'approve' and r.state = 'pending' order by r.id`;

/** The groups of somebody in which nobody is any more whose account is open. */
const LEFT_ALONE = `
  select g from people p, unnest(p.groups) as g where p.subject = $1 and not exists (
    select from people o where o.subject <> $1 and o.closed_at is null and (o.ends_at is null or o.ends_at > $2)
      and o.groups @> array[g])`;

const UNCONFIRMED = `
  select s.id, s.service, s.gateway_id,
    coalesce(g.seen_at < now() - make_interval(secs => ${UNSEEN / 1_000}), true) as unseen
  from sessions s left join gateways g on g.id = s.gateway_id where s.principal = $1 and s.ended_at is null order by s.id`;

/** @param now - milliseconds since the epoch */
export async function readNeedsHand({ pool, services }: Reading, subject: string, now: number): Promise<NeedsHand> {
  const ask = async (text: string, values: readonly unknown[] = [subject]) =>
    (await pool.query<Row>(text, [...values])).rows;
  const alone = new Set((await ask(LEFT_ALONE, [subject, new Date(now)])).map(({ g }) => `group:${g}`));
  return {
    reassign: (await ask(REASSIGN, [subject, new Date(now)])).map((row) => ({
      subject: String(row.subject),
      suspended: Number(row.suspended),
      account: row.account === true,
    })),
    rotate: (await ask(ROTATE)).map((row) => ({
      ...{ secret: String(row.secret), service: String(row.service), count: Number(row.count) },
      sessions: Array.isArray(row.sessions) ? row.sessions.map(String) : [],
      ...{ first: iso(row.first) ?? '', last: iso(row.last) ?? '' },
    })),
    review: (await ask(REVIEW)).map((row) => ({ ...named(row), due: iso(row.review_due) })),
    approved: (await ask(APPROVED)).map((row) => ({ ...named(row), principal: String(row.principal) })),
    ownerless: [...services()].filter(({ owner }) => alone.has(owner)).map(({ name, owner }) => ({ name, owner })),
    unconfirmed: (await ask(UNCONFIRMED)).map((row) => ({
      ...{ session: String(row.id), service: String(row.service), gateway: String(row.gateway_id) },
      unseen: row.unseen === true,
    })),
  };
}

function named(row: Row): { request: string; service: string } {
  return { request: String(row.id), service: String(row.service) };
}

function iso(value: unknown): string | null {
  return value instanceof Date ? value.toISOString() : null;
}
