import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { Pool } from 'pg';
import { z } from 'zod';
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
import { sessionPath, sessionQuery } from './schemas.js';
import { eventJson, sessionJson, sessionSchema, shownSessionSchema } from './views.js';

/** What recordings are read with. */
export interface Recordings {
  readonly pool: Pool;
  readonly protocols: readonly Protocol[];
  readonly gate: Pick<Gate, 'registry'>;
  readonly policies: Pick<Policies, 'get' | 'all'>;
  readonly log: Log;
}

const nothing = z.strictObject({});
const streamed = (type: string) => ({
  200: {
    description: 'as it is read, piece by piece',
    content: { [type]: { schema: z.unknown().meta({ type: 'string' }) } },
  },
});

/** List, show, read, replay: for reviewers, operators, and owners of the service. Each look is recorded before it is had. */
export function recordingRoutes(app: ApiApp, parts: Recordings): void {
  const { pool, gate, protocols, policies } = parts;
  const about = async (request: FastifyRequest) => {
    const { service } = await readSession(pool, checked(sessionPath, request.params).id);
    return { owners: ownersOf(policies, [service]) };
  };
  const looked = { params: sessionPath, querystring: nothing };

  app.get(
    '/sessions',
    {
      config: { name: 'sessions.list', about: () => ({ owners: policies.all().map(({ owner }) => owner) }) },
      schema: {
        summary: 'recorded sessions that I may see, the newest first',
        querystring: sessionQuery,
        response: { 200: z.object({ sessions: z.array(sessionSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const { limit, cursor, ...filter } = request.query;
      const { sessions, next } = await listSessions(pool, within(parts, actorIn(request), filter), { limit, cursor });
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
      return { ...sessionJson(session), liveHere: gate.registry.get(id) !== undefined };
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
      return reply.type('application/x-ndjson').send(Readable.from(eventLines(parts, id)));
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
      const text = replay(session, readEvents(pool, id), protocols);
      return reply.type('text/plain; charset=utf-8').send(Readable.from(text));
    },
  );
}

type Asked = Omit<z.output<typeof sessionQuery>, 'limit' | 'cursor'>;

/** Those who own services see what was done at these. */
function within(
  { policies }: Recordings,
  actor: Actor,
  { person, service, since, until, refused }: Asked,
): SessionFilter {
  const owned = policies.all().filter(({ owner }) => owns(actor, owner));
  return {
    ...(person === undefined ? {} : { person }),
    ...(service === undefined ? {} : { service }),
    ...(since === undefined ? {} : { since: Date.parse(since) }),
    ...(until === undefined ? {} : { until: Date.parse(until) }),
    ...(refused === undefined ? {} : { refused }),
    ...(actor.duties.size > 0 ? {} : { services: owned.map(({ name }) => name) }),
  };
}

function remember(pool: Pool, request: FastifyRequest, act: Viewing, session: string): Promise<void> {
  const { subject: by, via } = actorIn(request);
  return recordViewing(pool, { by, via, act, session });
}

/** One event a line. A fault on the way is a last line of its own: what is cut off must not look complete. */
async function* eventLines({ pool, log }: Recordings, id: string): AsyncGenerator<string> {
  try {
    for await (const event of readEvents(pool, id)) yield `${JSON.stringify(eventJson(event))}\n`;
  } catch (thrown) {
    log.error({ err: thrown, session: id }, 'a recording could not be read to its end');
    yield `${JSON.stringify(faultOf(thrown).body)}\n`;
  }
}
