import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { z } from 'zod';
import { DaypassError } from '../errors.js';
import type { Protocol, Transcript } from '../gate/protocol.js';
import { readEvents } from '../recording/blocks.js';
import type { RecordedEvent } from '../recording/event.js';
import { followEvents } from '../recording/follow.js';
import { readSession, recordViewing, type SessionFilter, type SessionView } from '../recording/read.js';
import { replay, timedReplay } from '../recording/replay.js';
import { searchSessions } from '../recording/search.js';
import { checked } from './faults.js';
import type { ApiParts } from './parts.js';
import { exportQuery, searchQuery, sessionPath, watchQuery } from './schemas.js';
import { sessionJson } from './views.js';

/** Search, watch, export in another form: on the operator's socket. */
export function reviewingRoutes(app: FastifyInstance, { pool, protocols }: ApiParts): void {
  const sendReplay = (
    reply: FastifyReply,
    session: SessionView,
    events: AsyncIterable<RecordedEvent>,
    timed: boolean,
  ) =>
    reply
      .type(timed ? 'application/x-ndjson' : 'text/plain; charset=utf-8')
      .send(Readable.from((timed ? timedReplay : replay)(session, events, protocols)));

  app.get('/v1/search', async (request) => {
    const { by, limit, cursor, ...asked } = checked(searchQuery, request.query);
    await recordViewing(pool, { by, act: 'search', session: null });
    const { found, next } = await searchSessions(pool, filterOf(asked), { limit, cursor });
    return { found: found.map(({ session, hits }) => ({ session: sessionJson(session), hits })), next };
  });

  app.get('/v1/sessions/:id/watch', async (request, reply) => {
    const { id } = checked(sessionPath, request.params);
    const { by, timed = false } = checked(watchQuery, request.query);
    const session = await readSession(pool, id);
    await recordViewing(pool, { by, act: 'watch', session: id });
    return sendReplay(reply, session, followEvents(pool, id), timed);
  });

  app.get('/v1/sessions/:id/export', async (request, reply) => {
    const { id } = checked(sessionPath, request.params);
    const { by, format } = checked(exportQuery, request.query);
    const session = await readSession(pool, id);
    const transcript = format === 'timed' ? null : transcriptOf(protocols, session, format);
    await recordViewing(pool, { by, act: transcript === null ? 'replay' : 'export', session: id });
    const events = readEvents(pool, id);
    if (transcript === null) return sendReplay(reply, session, events, true);
    return reply.type(transcript.type).send(Readable.from(transcript.write(session, events)));
  });
}

type Asked = Partial<Omit<z.output<typeof searchQuery>, 'by' | 'limit' | 'cursor'>>;

function filterOf({ since, until, ...rest }: Asked): SessionFilter {
  const times = { since: timeOf(since), until: timeOf(until) };
  return Object.fromEntries(Object.entries({ ...rest, ...times }).filter(([, value]) => value !== undefined));
}

function timeOf(iso: string | undefined): number | undefined {
  return iso === undefined ? undefined : Date.parse(iso);
}

/** @throws DaypassError `invalid_request` for a form that this protocol's recordings do not have */
function transcriptOf(protocols: readonly Protocol[], { protocol }: SessionView, format: string): Transcript {
  const offered = protocols.find(({ name }) => name === protocol)?.transcripts ?? [];
  const found = offered.find((one) => one.format === format);
  if (found !== undefined) return found;
  throw new DaypassError('invalid_request', `A recording of ${protocol} has no form ${JSON.stringify(format)}.`, {
    hint: `There are: ${['jsonl', ...offered.map((one) => one.format)].join(', ')}.`,
  });
}
