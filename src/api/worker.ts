import type { FastifyInstance } from 'fastify';
import { checked } from './faults.js';
import type { ApiParts, WorkerAnswers } from './parts.js';
import { sessionPath } from './schemas.js';

/** What the primary asks one worker, to answer for all of them. */
export function workerRoutes(app: FastifyInstance, { gate }: ApiParts, { missing, metrics }: WorkerAnswers): void {
  app.get('/v1/health', async () => ({ missing: missing() }));

  app.get('/v1/metrics', async () => ({ metrics: await metrics() }));

  // Unlike a look at the session this is no viewing, so it is not recorded.
  app.get('/v1/sessions/:id/here', async (request) => {
    const { id } = checked(sessionPath, request.params);
    return { here: gate.live.registry.get(id) !== undefined };
  });
}
