import type { FastifyInstance } from 'fastify';
import { iso } from '../clock.js';
import type { Act } from '../grant/record.js';
import type { Actor } from '../identity/actor.js';
import { isOpen, type Person, unknownPerson } from '../identity/people.js';
import { pageOf } from '../recording/page.js';
import { actorIn } from './app.js';
import { gatewayAddress } from './connect.js';
import { checked } from './faults.js';
import type { ApiParts } from './parts.js';
import {
  closeBody,
  extendBody,
  groupsBody,
  inviteBody,
  peopleQuery,
  personPath,
  reassignBody,
} from './people-schemas.js';

/** What the routes of people are made of. */
export type PeopleParts = Pick<ApiParts, 'people' | 'accounts' | 'passkeys' | 'leaving' | 'status' | 'clock'> & {
  readonly grants: Pick<ApiParts['grants'], 'list' | 'revoke'>;
};

/** Accounts and invitations. Who asks is the door's to find out. */
export function peopleRoutes(app: FastifyInstance, parts: PeopleParts): void {
  const { accounts, people, passkeys, status, clock } = parts;
  const json = (person: Person) => personJson(person, clock.wall());

  app.post('/v1/invitations', async (request, reply) => {
    const invite = checked(inviteBody, request.body);
    const actor = actorIn(request);
    const { subject, secret, expiresAt, recovery } = await accounts.invite(actor, invite);
    await answeredAnew(parts, actor, subject, invite.reason ?? 'an invitation names another sponsor');
    // The one answer that holds the secret. Behind `#` it is sent to no server, and stands in no log and no Referer.
    void reply.code(201).header('cache-control', 'no-store');
    const url = `${gatewayAddress(status())}/invite#${secret}`;
    return { subject, url, expiresAt: new Date(expiresAt).toISOString(), recovery };
  });

  app.get('/v1/people', async (request) => {
    const { sponsor, open, limit, cursor } = checked(peopleQuery, request.query);
    const actor = actorIn(request);
    const whose = mayLook(actor) ? sponsor : actor.subject;
    const filter = { open, limit: limit + 1, ...(whose === undefined ? {} : { sponsor: whose }) };
    const found = await people.list(cursor === undefined ? filter : { ...filter, after: cursor });
    const { shown, next } = pageOf(found, limit, ({ subject }) => subject);
    return { people: shown.map(json), next };
  });

  app.get('/v1/people/:subject', async (request) => {
    const { subject } = checked(personPath, request.params);
    const actor = actorIn(request);
    const person = await people.find(subject);
    const hidden = person !== null && !mayLook(actor) && ![person.subject, person.sponsor].includes(actor.subject);
    if (person === null || hidden) throw unknownPerson(subject);
    const held = await passkeys.list(subject);
    return {
      ...json(person),
      passkeys: held.map(({ createdAt, usedAt }) => ({
        createdAt: iso(createdAt),
        usedAt: iso(usedAt),
      })),
    };
  });

  app.post('/v1/people/:subject/reassign', async (request) => {
    const { subject } = checked(personPath, request.params);
    const { sponsor, reason } = checked(reassignBody, request.body);
    const actor = actorIn(request);
    const person = await accounts.reassign(actor, subject, sponsor, reason);
    await answeredAnew(parts, actor, subject, reason);
    return json(person);
  });

  app.post('/v1/people/:subject/extend', async (request) => {
    const { subject } = checked(personPath, request.params);
    const { endsAt, reason } = checked(extendBody, request.body);
    return json(await accounts.extend(actorIn(request), subject, endsAt, reason));
  });

  app.post('/v1/people/:subject/groups', async (request) => {
    const { subject } = checked(personPath, request.params);
    const { groups, reason } = checked(groupsBody, request.body);
    return json(await accounts.setGroups(actorIn(request), subject, groups, reason));
  });

  app.post('/v1/people/:subject/close', async (request) => {
    const { subject } = checked(personPath, request.params);
    const { reason } = checked(closeBody, request.body);
    const actor = actorIn(request);
    const ended = await accounts.close(actor, subject, reason);
    const act = { by: actor.subject, via: actor.via, reason };
    const grants = await revokeAll(parts.grants, subject, act).finally(() =>
      parts.leaving?.offboarding.sponsorLeft(subject, act),
    );
    return { subject, state: 'closed', ended: { ...ended, grants } };
  });
}

/** Somebody answers for a contractor from now on: what was suspended when the last sponsor left goes on. */
async function answeredAnew({ leaving }: PeopleParts, { subject: by, via }: Actor, subject: string, reason: string) {
  await leaving?.offboarding.sponsorChanged(subject, { by, via, reason });
}

/**
 * Nobody acts for a closed account: all its grants end with it, those too that come after one which did not end everywhere.
 * @returns how many
 * @throws what was thrown first
 */
async function revokeAll(grants: PeopleParts['grants'], principal: string, act: Omit<Act, 'at'>): Promise<number> {
  const tried = new Set<string>();
  const faults: unknown[] = [];
  const left = async () => (await grants.list({ principal, active: true })).filter(({ id }) => !tried.has(id));
  for (let held = await left(); held.length > 0; held = await left()) {
    for (const { id } of held) {
      tried.add(id);
      await grants.revoke(id, act).catch((thrown: unknown) => faults.push(thrown));
    }
  }
  if (faults.length > 0) throw faults[0];
  return tried.size;
}

/** Whether somebody may see everybody's account; others see their own, and those they answer for. */
function mayLook({ duties }: Actor): boolean {
  return duties.has('operator') || duties.has('reviewer');
}

/** A person as the API tells it. @param now - milliseconds since the epoch */
export function personJson(person: Person, now: number) {
  const { subject, kind, source, name, email, groups, sponsor, createdBy } = person;
  const state = person.closedAt !== null ? 'closed' : isOpen(person, now) ? 'open' : 'ended';
  return {
    ...{ subject, state, kind, source, name, email, groups, groupsAt: iso(person.groupsAt), sponsor },
    ...{ endsAt: iso(person.endsAt), createdAt: iso(person.createdAt), createdBy, closedAt: iso(person.closedAt) },
  };
}
