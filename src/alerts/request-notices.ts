import type { PoolClient } from 'pg';
import { ownerOf } from '../access/parts.js';
import type { PolicySource } from '../access/policy.js';
import { type HeldRequest, heldOf, REQUESTS } from '../access/request.js';
import { isRequestId } from '../access/rows.js';
import type { Audit, AuditedAct } from '../access/transact.js';
import type { Clock } from '../clock.js';
import { wordSeconds } from '../config/duration.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import type { Notice, Outbox } from './outbox.js';

export interface RequestNoticesParts {
  readonly outbox: Outbox;
  readonly policies: PolicySource;
  /** Where people reach the gateway, `https://gw.example.com`. */
  readonly address: () => string;
  /** Lines to paste that lead to a service, with `$HANDLE` for the handle. */
  readonly connect: (service: string, principal: string) => readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Writes the notices of an act on a request into its own transaction, before its line in the audit log, which comes last. Should
 * that fail, the act does not: the notice alone is taken back, and said to be lost.
 */
export function announced(audit: Audit, parts: RequestNoticesParts): Audit {
  return async (client, entry) => {
    if (entry.target.startsWith('request:')) await tried(client, entry, parts);
    await audit(client, entry);
  };
}

async function tried(client: PoolClient, entry: AuditedAct, parts: RequestNoticesParts): Promise<void> {
  await client.query('savepoint notice');
  try {
    await announce(client, entry, parts);
    await client.query('release savepoint notice');
  } catch (thrown) {
    const told = { act: entry.act, target: entry.target, err: messageOf(thrown) };
    parts.log.error(told, 'nobody will be told of this act: its notice could not be written');
    await client.query('rollback to savepoint notice');
  }
}

async function announce(client: PoolClient, entry: AuditedAct, parts: RequestNoticesParts): Promise<void> {
  const id = entry.target.slice('request:'.length);
  if (!isRequestId(id)) return;
  const now = new Date(parts.clock.wall());
  const { rows } = await client.query(`select * from ${REQUESTS} where id = $2`, [now, id]);
  const [row] = rows;
  if (row === undefined) return;
  const notice = noticeOf(heldOf(row), entry, parts);
  if (notice !== null) await parts.outbox.enqueue(client, notice);
}

/** By where the request stands after the act, not by the act: what was refused may have lapsed it, or made it wait again. */
function noticeOf(request: HeldRequest, entry: AuditedAct, parts: RequestNoticesParts): Notice | null {
  const { id, principal, stored } = request;
  const group = ownerOf(parts, request);
  const data = dataOf(request, parts);
  const { actor: by, act } = entry;
  const reason = entry.reason ?? '';
  // What was refused says nothing of who brought the request to where it stands.
  if (entry.result !== 'done' && stored !== 'pending' && stored !== 'lapsed') return null;
  switch (stored) {
    case 'pending': {
      const more = { decide_by: iso(request.decideBy), needed: request.needed, given: request.given };
      const dedupe = `request.waiting:${id}:${request.decideBy}:${request.given}`;
      const decide = `daypass approve ${id} --comment '…'   (or daypass refuse ${id} --comment '…')`;
      return { kind: 'request.waiting', dedupe, data: { ...data, ...more, decide }, to: { group, channels: true } };
    }
    case 'approved': {
      const more = { by: request.given === 0 ? 'the policy' : by, connect: connectLines(request, parts) };
      const dedupe = `request.approved:${id}:${request.decidedAt}`;
      return { kind: 'request.approved', dedupe, data: { ...data, ...more }, to: toPerson(principal) };
    }
    case 'refused':
      return {
        ...{ kind: 'request.refused', dedupe: `request.refused:${id}` },
        ...{ data: { ...data, by, reason }, to: toPerson(principal) },
      };
    case 'lapsed': {
      const to = { people: [principal], group, channels: true };
      const more = { decide_by: iso(request.decideBy) };
      return { kind: 'request.lapsed', dedupe: `request.lapsed:${id}`, data: { ...data, ...more }, to };
    }
    case 'activated': {
      if (request.kind !== 'break_glass' || act !== 'request.activate') return null;
      const more = { grant: request.grant?.id ?? null, ends: iso(request.grant?.expiresAt ?? null), by };
      const to = { people: sponsorsOf(request), group, channels: true };
      return { kind: 'break_glass.used', dedupe: `break_glass.used:${id}`, data: { ...data, ...more }, to };
    }
    case 'revoked': {
      if (by === principal) return null;
      const grant = request.grant?.id ?? null;
      const dedupe = `grant.revoked:${grant ?? id}`;
      const to = { people: [principal, ...sponsorsOf(request)], group, channels: true };
      const ends = iso(request.grant?.expiresAt ?? request.endsAt);
      return { kind: 'grant.revoked', dedupe, data: { ...data, grant, ends, by, reason }, to };
    }
    default:
      return null;
  }
}

function dataOf(request: HeldRequest, { address }: RequestNoticesParts): Notice['data'] {
  const { id, principal, service, task, sponsor, startsAt, endsAt } = request;
  return {
    ...{ request: id, person: principal, service, role: request.allowedRole ?? request.role, task, sponsor },
    ...{ begins: iso(startsAt), ends: iso(endsAt), lasts: wordSeconds(request.allowedSeconds ?? request.seconds) },
    link: `${address()}/requests/${id}`,
  };
}

/**
 * The way without a password comes first. The handle is shown to nobody but who activates: the other lines ask for it, and keep
 * it out of the shell's history.
 */
function connectLines({ id, service, principal }: HeldRequest, { connect }: RequestNoticesParts): string {
  const lines = connect(service, principal);
  if (lines.length === 0) return `daypass activate ${id}`;
  const tunnel = [`daypass activate ${id}`, `daypass connect ${service}   # needs no password; or, in place of it:`];
  return [...tunnel, 'read -rs HANDLE   # paste the handle that activate shows', ...lines].join('\n');
}

function toPerson(principal: string): Notice['to'] {
  return { people: [principal], channels: true };
}

function sponsorsOf({ sponsor }: HeldRequest): string[] {
  return sponsor === null ? [] : [sponsor];
}

function iso(at: number | null): string | null {
  return at === null || Number.isNaN(at) ? null : new Date(at).toISOString();
}
