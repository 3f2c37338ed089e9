import type { Pool, PoolClient } from 'pg';
import type { PolicySource } from '../access/policy.js';
import { standingOf, usageOf } from '../access/review-usage.js';
import type { Clock } from '../clock.js';
import { inTransaction } from '../recording/transaction.js';
import type { Notice, Outbox } from './outbox.js';

export interface GrantNoticesParts {
  readonly pool: Pool;
  readonly outbox: Outbox;
  readonly policies: Pick<PolicySource, 'get'>;
  readonly clock: Pick<Clock, 'wall'>;
}

/** Minutes before the end of a grant, the longest first. */
const COUNTDOWN = [15, 5, 1] as const;
/** Days before the end of an account. */
const ACCOUNT_COUNTDOWN = [7, 1] as const;
const MINUTE = 60_000;
const DAY = 86_400_000;
/** Whoever was down for longer tells no more of what ended meanwhile. */
const LOOK_BACK = 7 * DAY;
/** Half of a shorter grant is no time to have used it in, milliseconds. */
const SHORTEST_HALF = 60 * MINUTE;
/** Half of a shorter grant says little of what the rest of it will need, milliseconds. */
const LONG = DAY;
/** The index of what was used is behind the record by less, milliseconds. */
const INDEXED = 10_000;
const MOST = 500;
/** Each is looked through in the index. */
const MOST_LOOKED_THROUGH = 50;

/** Any number of its own: whoever has it looks. */
const LOCK = 1_685_089_390;

interface GrantRow {
  readonly id: string;
  readonly service: string;
  readonly principal: string;
  readonly role: string;
  readonly sponsor: string;
  readonly reason: string;
  readonly issued_at: Date;
  readonly not_before: Date;
  readonly expires_at: Date;
}

const COLUMNS = 'g.id, g.service, g.principal, g.role, g.sponsor, g.reason, g.issued_at, g.not_before, g.expires_at';
/** Whatever ended before notices were kept is nobody's news. */
const SINCE = 'greatest($2::timestamptz, (select at from notices_since))';
const UNTOLD = (dedupe: string) => `not exists (select from notices n where n.dedupe = ${dedupe})`;
/** By any grant of this access: a handle that was replaced has another id. */
const USED = `exists (
  select from sessions s where s.principal = g.principal and s.started_at >= g.not_before and s.service = g.service and s.role = g.role)`;
const UNUSED = `not ${USED}`;

const ENDING = `select ${COLUMNS} from grants g where revoked_at is null and expires_at > $1 and expires_at <= $2`;
const ENDED = `
  select ${COLUMNS} from grants g where revoked_at is null and expires_at <= $1 and expires_at > ${SINCE}
    and ${UNTOLD("'grant.ended:' || g.id")} order by expires_at limit ${MOST}`;
const UNUSED_ENDED = `
  select ${COLUMNS} from grants g where revoked_at is null and expires_at <= $1 and expires_at > ${SINCE}
    and ${UNTOLD("'grant.unused:' || g.id || ':over'")} and ${UNUSED} order by expires_at limit ${MOST}`;
const UNUSED_HALF = `
  select ${COLUMNS} from grants g where revoked_at is null and expires_at > $1
    and not_before + (expires_at - not_before) / 2 <= $1 and expires_at - not_before >= $2 * interval '1 millisecond'
    and ${UNTOLD("'grant.unused:' || g.id || ':half'")} and ${UNUSED} limit ${MOST}`;
/** A handle that was replaced is the same access: told once for all of its grants. */
const ACCESS = "'grant.wider_than_used:' || coalesce(r.id::text, g.id)";
const MAY_BE_WIDER = `
  select ${COLUMNS}, r.id as request from grants g left join access_requests r on r.grant_id = g.id
  where g.revoked_at is null and g.expires_at > ${SINCE} and ${USED} and ${UNTOLD(ACCESS)} and (g.expires_at <= $1
    or (g.not_before + (g.expires_at - g.not_before) / 2 <= $1 and g.expires_at - g.not_before >= $3 * interval '1 millisecond'))
  order by g.expires_at limit ${MOST_LOOKED_THROUGH}`;
/** The holder knows what they did themselves: handed it back, or lost the handle. */
const REVOKED = `
  select ${COLUMNS}, a.by, a.reason as why from grants g
  join lateral (select by, reason from grant_acts where grant_id = g.id and act = 'revoke' order by seq limit 1) a on true
  where revoked_at <= $1 and revoked_at > ${SINCE} and a.by <> g.principal
    and ${UNTOLD("'grant.revoked:' || g.id")} order by revoked_at limit ${MOST}`;
const ACCOUNTS = `
  select subject, name, sponsor, ends_at from people where closed_at is null and ends_at > $1 and ends_at <= $2`;

/**
 * Tells of what comes about by time alone, and of grants that were revoked by whatever way. One gateway at a time looks. It is
 * told by where things stand now: a renewal moves the end and begins the countdown anew, a clock that is set neither repeats a
 * step nor keeps one from being told when its time comes.
 */
export function tellOfGrants(parts: GrantNoticesParts): Promise<void> {
  return inTransaction(parts.pool, async (client) => {
    const { rows } = await client.query<{ ours: boolean }>('select pg_try_advisory_xact_lock($1) as ours', [LOCK]);
    if (rows[0]?.ours !== true) return;
    const now = parts.clock.wall();
    const tell = (notices: readonly Notice[]) => enqueueAll(client, parts.outbox, notices);
    const ask = grantsOf(client);
    const [at, back] = [new Date(now), new Date(now - LOOK_BACK)];
    const soon = new Date(now + COUNTDOWN[0] * MINUTE);
    await tell((await ask(ENDING, [at, soon])).flatMap((grant) => ending(grant, now, parts)));
    await tell((await ask(ENDED, [at, back])).map((grant) => ended(grant)));
    await tell((await ask(UNUSED_ENDED, [at, back])).map((grant) => unused(grant, 'over', parts)));
    await tell((await ask(UNUSED_HALF, [at, SHORTEST_HALF])).map((grant) => unused(grant, 'half over', parts)));
    const looked = await ask(MAY_BE_WIDER, [new Date(now - INDEXED), back, LONG]);
    for (const grant of looked) await tell([await wider(grant, client, parts)]);
    await tell((await ask(REVOKED, [at, back])).map((grant) => revoked(grant, parts)));
    await tell(await accountsEnding(client, now));
  });
}

type Found = GrantRow & { readonly by?: string; readonly why?: string; readonly request?: string | null };

function grantsOf(client: PoolClient) {
  return async (text: string, values: readonly unknown[]) => (await client.query<Found>(text, [...values])).rows;
}

async function enqueueAll(client: PoolClient, outbox: Outbox, notices: readonly Notice[]): Promise<void> {
  for (const notice of notices) await outbox.enqueue(client, notice);
}

/** The step that its time has come to, or none; a grant that was shorter from the start has no such step. */
function ending(grant: GrantRow, now: number, parts: GrantNoticesParts): Notice[] {
  const { id, principal, sponsor, service } = grant;
  const end = grant.expires_at.getTime();
  const step = COUNTDOWN.findLast((minutes) => end - now <= minutes * MINUTE);
  if (step === undefined || grant.issued_at.getTime() > end - step * MINUTE) return [];
  const minutes = Math.ceil((end - now) / MINUTE);
  const dedupe = `grant.ending:${id}:${end}:${step}`;
  // Who answers for it is told once, while something can be done.
  const others = step === COUNTDOWN[0] ? toOthers(sponsor, service, parts) : { people: [] };
  const to = { ...others, people: [principal, ...others.people], channels: true };
  return [{ kind: 'grant.ending', dedupe, data: { ...dataOf(grant), minutes }, to }];
}

function ended(grant: GrantRow): Notice {
  const to = { people: [grant.principal], channels: true };
  return { kind: 'grant.ended', dedupe: `grant.ended:${grant.id}`, data: dataOf(grant), to };
}

function unused(grant: GrantRow, how: 'over' | 'half over', parts: GrantNoticesParts): Notice {
  const dedupe = `grant.unused:${grant.id}:${how === 'over' ? 'over' : 'half'}`;
  const to = { ...toOthers(grant.sponsor, grant.service, parts), channels: true };
  return { kind: 'grant.unused', dedupe, data: { ...dataOf(grant), how_far: how }, to };
}

/** One of which everything was used is noted as told to nobody: it is not looked through again. */
async function wider(grant: Found, client: PoolClient, parts: GrantNoticesParts): Promise<Notice> {
  const { id, sponsor, service, request = null } = grant;
  const ask = async (text: string, values: readonly unknown[] = []) => (await client.query(text, [...values])).rows;
  const usage = await usageOf(ask, parts.policies, { request, grant: id });
  const told = { kind: 'grant.wider_than_used', dedupe: `grant.wider_than_used:${request ?? id}` } as const;
  if (standingOf(usage) !== 'wider') return { ...told, data: {}, to: {} };
  const { granted, used } = usage;
  const unused = granted.filter((rule) => !used.includes(rule)).join('; ');
  const data = { ...dataOf(grant), granted: granted.length, used: used.length, unused };
  return { ...told, data, to: { ...toOthers(sponsor, service, parts), channels: true } };
}

function revoked(grant: Found, parts: GrantNoticesParts): Notice {
  const others = toOthers(grant.sponsor, grant.service, parts);
  const to = { ...others, people: [grant.principal, ...others.people], channels: true };
  const data = { ...dataOf(grant), by: grant.by ?? null, reason: grant.why ?? null };
  return { kind: 'grant.revoked', dedupe: `grant.revoked:${grant.id}`, data, to };
}

/** The sponsor, and the service's owner where its policy is there. */
function toOthers(sponsor: string, service: string, { policies }: GrantNoticesParts) {
  const group = policies.get(service)?.owner;
  return { people: [sponsor], ...(group === undefined ? {} : { group }) };
}

function dataOf({ id, principal, service, role, reason, sponsor, expires_at }: GrantRow): Notice['data'] {
  const ends = expires_at.toISOString();
  return { grant: id, person: principal, service, role, task: reason, sponsor, ends };
}

interface AccountRow {
  readonly subject: string;
  readonly name: string;
  readonly sponsor: string | null;
  readonly ends_at: Date;
}

async function accountsEnding(client: PoolClient, now: number): Promise<Notice[]> {
  const until = new Date(now + ACCOUNT_COUNTDOWN[0] * DAY);
  const { rows } = await client.query<AccountRow>(ACCOUNTS, [new Date(now), until]);
  return rows.flatMap(({ subject, name, sponsor, ends_at }) => {
    const end = ends_at.getTime();
    const days = ACCOUNT_COUNTDOWN.findLast((step) => end - now <= step * DAY);
    if (days === undefined) return [];
    const data = { person: subject, name, sponsor, ends: ends_at.toISOString(), days };
    const to = { people: [subject, ...(sponsor === null ? [] : [sponsor])], channels: true };
    return [{ kind: 'account.ending', dedupe: `account.ending:${subject}:${end}:${days}`, data, to } as const];
  });
}
