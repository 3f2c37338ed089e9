import type { FastifyInstance } from 'fastify';
import { recordViewing } from '../recording/read.js';
import { rebuildIndex } from '../recording/rebuild.js';
import { verifyAll, verifySession } from '../recording/verify-database.js';
import { checked } from './faults.js';
import type { ApiParts } from './parts.js';
import { rebuildBody, verifyBody } from './schemas.js';

/** Verify, index, status, reload. */
export function maintenanceRoutes(app: FastifyInstance, { pool, reload, status }: ApiParts): void {
  app.post('/v1/verify', async (request) => {
    const { session, by } = checked(verifyBody, request.body);
    await recordViewing(pool, { by, act: 'verify', session: session ?? null });
    const verified = session === undefined ? await verifyAll(pool) : await verifySession(pool, session);
    return { ok: verified.findings.length === 0, ...verified };
  });

  app.post('/v1/index/rebuild', async (request) => {
    const { session } = checked(rebuildBody, request.body ?? {});
    return rebuildIndex(pool, session === undefined ? {} : { session });
  });

  app.get('/v1/status', async () => status());

  app.post('/v1/reload', async (_request, reply) => {
    const reloaded = await reload();
    if (!reloaded.ok) void reply.code(422);
    return reloaded;
  });
}
