import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { DaypassError } from '../errors.js';
import { readEvents } from '../recording/blocks.js';
import { listSessions, readSession, recordViewing } from '../recording/read.js';
import { replay } from '../recording/replay.js';
import { checked, faultOf } from './faults.js';
import type { ApiParts } from './parts.js';
import { actBody, sessionPath, sessionQuery, viewQuery } from './schemas.js';
import { eventJson, sessionJson } from './views.js';

/** List, show, read, replay, end. */
export function sessionRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { pool, audit, gate, protocols, log } = parts;

  app.get('/v1/sessions', async (request) => {
    const { person, service, since, refused, limit, cursor } = checked(sessionQuery, request.query);
    const filter = {
      ...(person === undefined ? {} : { person }),
      ...(service === undefined ? {} : { service }),
      ...(since === undefined ? {} : { since: Date.parse(since) }),
      ...(refused === undefined ? {} : { refused }),
    };
    const { sessions, next } = await listSessions(pool, filter, { limit, cursor });
    return { sessions: sessions.map(sessionJson), next };
  });

  app.get('/v1/sessions/:id', async (request) => {
    const { id } = checked(sessionPath, request.params);
    const { by } = checked(viewQuery, request.query);
    const session = await readSession(pool, id);
    await recordViewing(pool, { by, act: 'show', session: id });
    return { ...sessionJson(session), liveHere: gate.registry.get(id) !== undefined };
  });

  app.get('/v1/sessions/:id/events', async (request, reply) => {
    const { id } = checked(sessionPath, request.params);
    const { by } = checked(viewQuery, request.query);
    await readSession(pool, id);
    await recordViewing(pool, { by, act: 'export', session: id });
    return reply.type('application/x-ndjson').send(Readable.from(eventLines(parts, id)));
  });

  app.get('/v1/sessions/:id/replay', async (request, reply) => {
    const { id } = checked(sessionPath, request.params);
    const { by } = checked(viewQuery, request.query);
    const session = await readSession(pool, id);
    await recordViewing(pool, { by, act: 'replay', session: id });
    const text = replay(session, readEvents(pool, id), protocols);
    return reply.type('text/plain; charset=utf-8').send(Readable.from(text));
  });

  app.post('/v1/sessions/:id/end', async (request) => {
    const { id } = checked(sessionPath, request.params);
    const { by, reason } = checked(actBody, request.body);
    if (gate.registry.get(id) === undefined) throw await whyNotLive(parts, id);
    const act = { act: 'session.end', target: `session:${id}`, reason, result: 'done' } as const;
    await audit.append({ actor: by, via: 'socket', ...act });
    const session = gate.registry.get(id);
    if (session === undefined) throw await whyNotLive(parts, id);
    session.recording.append('notice', { about: 'ended_by_operator', by, why: reason });
    session.cut('ended');
    log.info({ session: id, by, why: reason }, 'a session was ended by an operator');
    return { id, state: 'ended' };
  });
}

/** One event a line. A fault on the way is a last line of its own: what is cut off must not look complete. */
async function* eventLines({ pool, log }: ApiParts, id: string): AsyncGenerator<string> {
  try {
    for await (const event of readEvents(pool, id)) yield `${JSON.stringify(eventJson(event))}\n`;
  } catch (thrown) {
    log.error({ err: thrown, session: id }, 'a recording could not be read to its end');
    yield `${JSON.stringify(faultOf(thrown).body)}\n`;
  }
}

async function whyNotLive({ pool }: ApiParts, id: string): Promise<DaypassError> {
  const { endedAt, gatewayId } = await readSession(pool, id);
  if (endedAt !== null) return new DaypassError('already_ended', 'The session has ended already.');
  return new DaypassError('on_another_gateway', `The session is not live here; gateway ${gatewayId} opened it.`, {
    hint: 'Revoke its grant: that ends it on every gateway.',
  });
}
