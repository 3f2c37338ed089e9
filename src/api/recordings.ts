import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { Pool } from 'pg';
import { z } from 'zod';
import type { Clock } from '../clock.js';
import type { Gate } from '../gate/gate.js';
import type { Policies } from '../gate/policies.js';
import type { Protocol } from '../gate/protocol.js';
import { type Actor, owns } from '../identity/actor.js';
import type { Log } from '../log.js';
import { readEvents } from '../recording/blocks.js';
import { listSessions, readSession, recordViewing, type SessionFilter, type Viewing } from '../recording/read.js';
import { replay } from '../recording/replay.js';
import { type ApiApp, actorIn } from './app.js';
import { checked, faultOf } from './faults.js';
import { ownersOf } from './grant-views.js';
import { checkAgain } from './guard.js';
import { type searchQuery, sessionPath, sessionQuery } from './schemas.js';
import { eventJson, sessionJson, sessionSchema, shownSessionSchema } from './views.js';

/** What recordings are read with. */
export interface Recordings {
  /** Nobody's way to a service may wait for what is read with it. */
  readonly pool: Pool;
  readonly protocols: readonly Protocol[];
  readonly gate: Pick<Gate, 'live'>;
  readonly policies: Pick<Policies, 'get' | 'all'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** How often it is asked whether whoever reads still may, milliseconds. */
const ASKED_AGAIN = 2_000;

/** A query without anything in it. */
const nothing = z.strictObject({});
/** An answer in one of these media types. */
export const streamed = (...types: readonly string[]) => ({
  200: {
    description: 'as it is read, piece by piece',
    content: Object.fromEntries(types.map((type) => [type, { schema: z.unknown().meta({ type: 'string' }) }])),
  },
});

/** Whose session it is that a request names in its path: the owners of its service. */
export function aboutSession({ pool, policies }: Pick<Recordings, 'pool' | 'policies'>) {
  return async (request: FastifyRequest) => {
    const { service } = await readSession(pool, checked(sessionPath, request.params).id);
    return { owners: ownersOf(policies, [service]) };
  };
}

/** Whose recordings there are: a request that is about all of them. */
export function aboutAll({ policies }: Pick<Recordings, 'policies'>) {
  return () => ({ owners: policies.all().map(({ owner }) => owner) });
}

/** List, show, read, replay: for reviewers, operators, and owners of the service. Each look is recorded before it is had. */
export function recordingRoutes(app: ApiApp, parts: Recordings): void {
  const { pool, gate, protocols } = parts;
  const about = aboutSession(parts);
  const looked = { params: sessionPath, querystring: nothing };

  app.get(
    '/sessions',
    {
      config: { name: 'sessions.list', about: aboutAll(parts) },
      schema: {
        summary: 'recorded sessions that I may see, the newest first',
        querystring: sessionQuery,
        response: { 200: z.object({ sessions: z.array(sessionSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const { limit, cursor, ...filter } = request.query;
      const { sessions, next } = await listSessions(pool, filterFor(parts, actorIn(request), filter), {
        limit,
        cursor,
      });
      return { sessions: sessions.map(sessionJson), next };
    },
  );

  app.get(
    '/sessions/:id',
    {
      config: { name: 'sessions.show', about, viewing: true },
      schema: { summary: 'one session', ...looked, response: { 200: shownSessionSchema } },
    },
    async (request) => {
      const { id } = request.params;
      const session = await readSession(pool, id);
      await remember(pool, request, 'show', id);
      return { ...sessionJson(session), liveHere: gate.live.registry.get(id) !== undefined };
    },
  );

  app.get(
    '/sessions/:id/events',
    {
      config: { name: 'sessions.events', about, viewing: true },
      schema: { summary: 'its events, one JSON a line', ...looked, response: streamed('application/x-ndjson') },
    },
    async (request, reply) => {
      const { id } = request.params;
      await remember(pool, request, 'export', id);
      return reply
        .type('application/x-ndjson')
        .send(Readable.from(eventLines(parts, id, stillMay(request, parts.clock))));
    },
  );

  app.get(
    '/sessions/:id/replay',
    {
      config: { name: 'sessions.replay', about, viewing: true },
      schema: { summary: 'its events in words', ...looked, response: streamed('text/plain') },
    },
    async (request, reply) => {
      const { id } = request.params;
      const session = await readSession(pool, id);
      await remember(pool, request, 'replay', id);
      const text = replay(session, readEvents(pool, id, stillMay(request, parts.clock)), protocols);
      return reply.type('text/plain; charset=utf-8').send(Readable.from(text));
    },
  );
}

/** Which sessions, as a query says it. */
type AskedSessions = Omit<z.output<typeof searchQuery>, 'limit' | 'cursor'>;

/** Those who own services see what was done at these. */
export function filterFor(
  { policies }: Pick<Recordings, 'policies'>,
  actor: Actor,
  asked: AskedSessions,
): SessionFilter {
  const { since, until, ...rest } = asked;
  const times = { since: timeOf(since), until: timeOf(until) };
  const given = Object.entries({ ...rest, ...times }).filter(([, value]) => value !== undefined);
  if (actor.duties.size > 0) return Object.fromEntries(given);
  const owned = policies.all().filter(({ owner }) => owns(actor, owner));
  return { ...Object.fromEntries(given), services: owned.map(({ name }) => name) };
}

function timeOf(iso: string | undefined): number | undefined {
  return iso === undefined ? undefined : Date.parse(iso);
}

/** Writes down who looks at what, before they see it. @param session - null when it is none in particular */
export function remember(pool: Pool, request: FastifyRequest, act: Viewing, session: string | null): Promise<void> {
  const { subject: by, via } = actorIn(request);
  return recordViewing(pool, { by, via, act, session });
}

/** Whoever reads may be shut out meanwhile, and read as slowly as they like: then they see no more. */
export function stillMay(request: FastifyRequest, clock: Clock): () => Promise<void> {
  let due = clock.monotonic() + ASKED_AGAIN;
  return async () => {
    if (clock.monotonic() < due) return;
    await checkAgain(request);
    due = clock.monotonic() + ASKED_AGAIN;
  };
}

/** One event a line. A fault on the way is a last line of its own: what is cut off must not look complete. */
async function* eventLines({ pool, log }: Recordings, id: string, still: () => Promise<void>): AsyncGenerator<string> {
  try {
    for await (const event of readEvents(pool, id, still)) yield `${JSON.stringify(eventJson(event))}\n`;
  } catch (thrown) {
    log.error({ err: thrown, session: id }, 'a recording could not be read to its end');
    yield `${JSON.stringify(faultOf(thrown).body)}\n`;
  }
}
