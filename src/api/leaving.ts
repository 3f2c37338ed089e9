import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { z } from 'zod';
import type { CloseOuts } from '../access/closeout.js';
import type { Offboarding } from '../access/offboard.js';
import { repeatedRequests } from '../access/repeated.js';
import type { Clock } from '../clock.js';
import { actorIn } from './app.js';
import { checked } from './faults.js';
import { line, name, requestId } from './schemas.js';

/** How engagements end. */
export interface LeavingApi {
  readonly offboarding: Pick<Offboarding, 'offboard' | 'sponsorLeft' | 'sponsorChanged'>;
  readonly closeOuts: Pick<CloseOuts, 'make'>;
  readonly pool: Pool;
  readonly clock: Clock;
}

/** The body of `POST /v1/offboardings`. */
export const offboardBody = z.strictObject({ subject: name, reason: line });
const requestPath = z.object({ id: requestId });
/** The query of `GET /v1/requests/:id/closeout`. */
export const closeOutQuery = z.strictObject({ format: z.enum(['json', 'html']).default('json') });
/** The query of `GET /v1/reports/repeated`. */
export const repeatedQuery = z.strictObject({
  since: z.iso.datetime({ offset: true }).optional(),
  times: z.coerce.number().int().min(2).max(1_000).default(3),
  of: z.enum(['person', 'group']).default('person'),
  only: z
    .enum(['true', 'false'])
    .transform((value) => value === 'true')
    .optional(),
  service: name.optional(),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

const THIRTY_DAYS = 30 * 86_400_000;

/** What is only read names who reads it too. */
const NAMED = { config: { viewing: true } } as const;

/** Offboard, close out, and the report of repeated requests. Who asks is the door's to find out. */
export function leavingRoutes(app: FastifyInstance, { offboarding, closeOuts, pool, clock }: LeavingApi): void {
  app.post('/v1/offboardings', async (request, reply) => {
    const { subject, reason } = checked(offboardBody, request.body);
    const offboarded = await offboarding.offboard(actorIn(request), subject, reason);
    // 202: done as far as it could be.
    if (!offboarded.complete || offboarded.ledger === 'queued') void reply.code(202);
    return offboarded;
  });

  app.get('/v1/requests/:id/closeout', NAMED, async (request, reply) => {
    const { id } = checked(requestPath, request.params);
    const { format } = checked(closeOutQuery, request.query);
    const made = await closeOuts.make(actorIn(request), id);
    void reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    void reply.header('content-disposition', `attachment; filename="closeout-${id}.${format}"`);
    if (format === 'json') return reply.type('application/json; charset=utf-8').send(made.file);
    return reply.type('text/html; charset=utf-8').send(made.page());
  });

  app.get('/v1/reports/repeated', NAMED, async (request) => {
    const { since, times, of, only, service, limit } = checked(repeatedQuery, request.query);
    const from = since === undefined ? clock.wall() - THIRTY_DAYS : Date.parse(since);
    const asked = { since: from, times, of, service, limit, ...(only === undefined ? {} : { only }) };
    const repeated = await repeatedRequests(pool, actorIn(request), asked);
    return { since: new Date(from).toISOString(), repeated };
  });
}
