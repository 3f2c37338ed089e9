import { finished, Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { DaypassError } from '../errors.js';
import type { Protocol, Transcript } from '../gate/protocol.js';
import { readEvents } from '../recording/blocks.js';
import type { RecordedEvent } from '../recording/event.js';
import { followEvents } from '../recording/follow.js';
import { readSession, type SessionView } from '../recording/read.js';
import { replay, timedReplay } from '../recording/replay.js';
import { searchSessions } from '../recording/search.js';
import { verifyAll, verifySession } from '../recording/verify-database.js';
import { type ApiApp, actorIn } from './app.js';
import { Places } from './places.js';
import { aboutAll, aboutSession, filterFor, type Recordings, remember, stillMay, streamed } from './recordings.js';
import { exportQuery, searchQuery, sessionPath, verifyBody, watchQuery } from './schemas.js';
import { sessionJson, sessionSchema } from './views.js';

/** What is reviewed with. */
export interface Reviewing extends Recordings {
  /** Called where records do not verify, with what was looked at and how much was found. */
  readonly unverified?: ((what: string, findings: number) => void) | undefined;
}

/** How many searches of one person may be under way: each may have to look through everything. */
const MOST_SEARCHES = 2;
/** How many sessions one person may watch at once: each asks the ledger again and again. */
const MOST_WATCHED = 16;

const hit = z.object({ firstSeq: z.number(), lastSeq: z.number(), excerpt: z.string() });
const found = z.object({ session: sessionSchema, hits: z.array(hit) });

/** Search, watch, export in another form, verify: for those who may read recordings. Each look is recorded before it is had. */
export function reviewingRoutes(app: ApiApp, parts: Reviewing): void {
  searchRoute(app, parts);
  watchRoute(app, parts);
  exportRoute(app, parts);
  verifyRoute(app, parts);
}

function searchRoute(app: ApiApp, parts: Reviewing): void {
  const places = new Places(MOST_SEARCHES, 'searches');
  app.get(
    '/search',
    {
      config: { name: 'sessions.search', about: aboutAll(parts), viewing: true },
      schema: {
        summary: 'sessions by what was done in them, of those that I may see, the newest first',
        querystring: searchQuery,
        response: { 200: z.object({ found: z.array(found), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const { limit, cursor, ...asked } = request.query;
      const filter = filterFor(parts, actorIn(request), asked);
      const leave = places.take(actorIn(request));
      const { found, next } = await remember(parts.pool, request, 'search', null)
        .then(() => searchSessions(parts.pool, filter, { limit, cursor }))
        .finally(leave);
      return { found: found.map(({ session, hits }) => ({ session: sessionJson(session), hits: [...hits] })), next };
    },
  );
}

function watchRoute(app: ApiApp, parts: Reviewing): void {
  const { pool, protocols } = parts;
  const places = new Places(MOST_WATCHED, 'watched sessions');
  app.get(
    '/sessions/:id/watch',
    {
      config: { name: 'sessions.watch', about: aboutSession(parts), viewing: true },
      schema: {
        ...{ summary: 'its events as they are recorded, until it ends', params: sessionPath, querystring: watchQuery },
        response: streamed('text/plain', 'application/x-ndjson'),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      finished(reply.raw, places.take(actorIn(request)));
      const session = await readSession(pool, id);
      await remember(pool, request, 'watch', id);
      const events = followEvents(pool, id, stillMay(request, parts.clock));
      return sendReplay(reply, protocols, session, events, request.query.timed === true);
    },
  );
}

function exportRoute(app: ApiApp, parts: Reviewing): void {
  const { pool, protocols } = parts;
  app.get(
    '/sessions/:id/export',
    {
      config: { name: 'sessions.export', about: aboutSession(parts), viewing: true },
      schema: {
        summary: 'its events for another tool: `sql`, `har`, or `timed` for a replay at its pace',
        ...{ params: sessionPath, querystring: exportQuery },
        response: streamed('application/sql', 'application/json', 'application/x-ndjson'),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { format } = request.query;
      const session = await readSession(pool, id);
      const transcript = format === 'timed' ? null : transcriptOf(protocols, session, format);
      await remember(pool, request, transcript === null ? 'replay' : 'export', id);
      const events = readEvents(pool, id, stillMay(request, parts.clock));
      if (transcript === null) return sendReplay(reply, protocols, session, events, true);
      return reply.type(transcript.type).send(Readable.from(transcript.write(session, events)));
    },
  );
}

function sendReplay(
  reply: FastifyReply,
  protocols: readonly Protocol[],
  session: SessionView,
  events: AsyncIterable<RecordedEvent>,
  timed: boolean,
) {
  const pieces = (timed ? timedReplay : replay)(session, events, protocols);
  return reply.type(timed ? 'application/x-ndjson' : 'text/plain; charset=utf-8').send(Readable.from(pieces));
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

/** All of a year's records take minutes: nobody would see an end to those of whoever asked, left, and asked again. */
function stillThere({ raw }: FastifyReply): () => void {
  return () => {
    if (raw.destroyed) throw new DaypassError('given_up', 'Whoever asked has left.');
  };
}

function verifyRoute(app: ApiApp, { pool, unverified = () => {} }: Reviewing): void {
  const places = new Places(1, 'verifications');
  app.post(
    '/verify',
    {
      config: { name: 'recordings.verify', noted: true },
      schema: {
        summary: 'whether recordings are what was recorded',
        body: verifyBody,
        response: { 200: z.looseObject({ ok: z.boolean() }) },
      },
    },
    async (request, reply) => {
      const { session } = request.body;
      const leave = places.take(actorIn(request));
      const verified = await remember(pool, request, 'verify', session ?? null)
        .then(() => (session === undefined ? verifyAll(pool, stillThere(reply)) : verifySession(pool, session)))
        .finally(leave);
      const { length } = verified.findings;
      if (length > 0) unverified(session === undefined ? 'recordings' : `session:${session}`, length);
      return { ok: length === 0, ...verified };
    },
  );
}
