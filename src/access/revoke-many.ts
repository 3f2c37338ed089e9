import { DaypassError, messageOf } from '../errors.js';
import type { Actor } from '../identity/actor.js';
import { revokeGrant } from './grants.js';
import { type RequestsParts, servicesOf } from './parts.js';
import type { RevokedRequest } from './requests.js';

/** Whose requests and grants: all that is given must hold. */
export interface RevokeFilter {
  readonly principal?: string;
  readonly service?: string;
  readonly request?: string;
  readonly grant?: string;
  readonly nda?: string;
}

/** What ended, by ids. */
export interface RevokedMany {
  readonly requests: readonly string[];
  /** Grants that no request made. */
  readonly grants: readonly string[];
  /** How many of them wait for the ledger. */
  readonly queued: number;
  /** What could not be ended, with why. */
  readonly failed: readonly { readonly id: string; readonly code: string; readonly message: string }[];
}

/**
 * Ends every open request that matches, and every grant in force that no request made. One that fails keeps none of the others.
 * Operators may all of it, members of an owner's group what is their services'.
 * @throws DaypassError `invalid_request` without a criterion, `not_allowed`, `ledger_unavailable` (nothing was ended)
 */
export async function revokeMany(
  parts: RequestsParts,
  filter: RevokeFilter,
  actor: Actor,
  reason: string,
  each: (id: string) => Promise<RevokedRequest>,
): Promise<RevokedMany> {
  if (Object.values(filter).every((value) => value === undefined))
    throw new DaypassError('invalid_request', 'Name a person, a service, a request, a grant or an NDA.');
  const services = actor.duties.has('operator') ? null : servicesOf(parts, actor);
  if (services?.length === 0) throw new DaypassError('not_allowed', 'Only owners of a service and operators revoke.');
  const ids = await openRequests(parts, filter, services);
  const loose = await looseGrants(parts, filter, services);
  if (services !== null && ids.length + loose.length === 0)
    throw new DaypassError('not_allowed', 'Nothing of your services is open there.');
  const ended: Ended = { requests: [], grants: [], queued: 0, failed: [] };
  for (const id of ids) await attempt(ended, id, ended.requests, () => each(id));
  const act = { by: actor.subject, via: actor.via, reason };
  for (const id of loose) await attempt(ended, id, ended.grants, () => revokeGrant(parts.grants, id, act));
  return ended;
}

interface Ended {
  requests: string[];
  grants: string[];
  queued: number;
  failed: { id: string; code: string; message: string }[];
}

async function attempt(
  ended: Ended,
  id: string,
  done: string[],
  revoke: () => Promise<{ readonly ledger: 'written' | 'queued' }>,
): Promise<void> {
  try {
    if ((await revoke()).ledger === 'queued') ended.queued += 1;
    done.push(id);
  } catch (thrown) {
    const code = thrown instanceof DaypassError ? thrown.code : 'internal';
    if (code === 'announce_failed') done.push(id);
    // Somebody else ended it meanwhile.
    else if (code !== 'already_decided') ended.failed.push({ id, code, message: messageOf(thrown) });
  }
}

async function openRequests(
  { transactor }: RequestsParts,
  { principal, service, request, grant, nda }: RevokeFilter,
  services: readonly string[] | null,
): Promise<readonly string[]> {
  const rows = await transactor.ask(
    `select id from access_requests where state in ('pending', 'approved', 'activated')
       and ($1::text is null or principal = $1) and ($2::text is null or service = $2) and ($3::text is null or id::text = $3)
       and ($4::text is null or grant_id = $4) and ($5::text is null or nda::text = $5)
       and ($6::text[] is null or service = any($6)) order by id`,
    [principal ?? null, service ?? null, request ?? null, grant ?? null, nda ?? null, services],
  );
  return rows.map(({ id }) => String(id));
}

/** All grants in force, or yet to be, that operators issued: no request knows them. */
async function looseGrants(
  { transactor, clock }: RequestsParts,
  { principal, service, request, grant, nda }: RevokeFilter,
  services: readonly string[] | null,
): Promise<readonly string[]> {
  if (request !== undefined || nda !== undefined) return [];
  const rows = await transactor.ask(
    `select id from grants g where revoked_at is null and expires_at > $1
       and ($2::text is null or principal = $2) and ($3::text is null or service = $3) and ($4::text is null or id = $4)
       and ($5::text[] is null or service = any($5))
       and not exists (select from access_requests r where r.grant_id = g.id) order by id`,
    [new Date(clock.wall()), principal ?? null, service ?? null, grant ?? null, services],
  );
  return rows.map(({ id }) => String(id));
}
