import type { FastifyInstance } from 'fastify';
import { reloadEntry } from '../audit/reload.js';
import { DaypassError, messageOf } from '../errors.js';
import { within } from '../grant/within.js';
import { rebuildIndex } from '../recording/rebuild.js';
import { checked } from './faults.js';
import type { ApiParts } from './parts.js';
import { rebuildBody, reloadBody } from './schemas.js';

/** How long the line of a reload may take, milliseconds. */
const WRITTEN_WITHIN = 1_000;

/** Index, status, reload: on the operator's socket. */
export function maintenanceRoutes(app: FastifyInstance, { pool, audit, reload, status, log }: ApiParts): void {
  app.post('/v1/index/rebuild', async (request) => {
    const { session, by } = checked(rebuildBody, request.body ?? {});
    const target = session === undefined ? 'recordings' : `session:${session}`;
    await audit.append({ actor: by, via: 'socket', act: 'index.rebuild', target, reason: null, result: 'done' });
    return rebuildIndex(pool, session === undefined ? {} : { session });
  });

  app.get('/v1/status', async () => status());

  app.post('/v1/reload', async (request, reply) => {
    const { by } = checked(reloadBody, request.body ?? {});
    const reloaded = await reload();
    const entry = reloadEntry({ actor: by, via: 'socket', reason: null }, status().gatewayId, reloaded);
    // Whoever takes access away does not wait for a ledger that is silent: then the gateway's own log has the line.
    await within(WRITTEN_WITHIN, audit.append(entry), unwritten).catch((thrown: unknown) => {
      log.error({ ...entry, err: messageOf(thrown) }, 'a reload could not be written down in the audit log');
    });
    if (!reloaded.ok) void reply.code(422);
    return reloaded;
  });
}

function unwritten(): DaypassError {
  return new DaypassError('audit_unavailable', 'The audit log did not answer in time.');
}
