import type { FastifyInstance } from 'fastify';
import { appendAudit } from '../audit/append.js';
import { reloadEntry } from '../audit/reload.js';
import { recordViewing } from '../recording/read.js';
import { rebuildIndex } from '../recording/rebuild.js';
import { inTransaction } from '../recording/transaction.js';
import { verifyAll, verifySession } from '../recording/verify-database.js';
import { checked } from './faults.js';
import type { ApiParts } from './parts.js';
import { rebuildBody, reloadBody, verifyBody } from './schemas.js';

/** Verify, index, status, reload. */
export function maintenanceRoutes(app: FastifyInstance, { pool, audit, reload, status }: ApiParts): void {
  app.post('/v1/verify', async (request) => {
    const { session, by } = checked(verifyBody, request.body);
    await recordViewing(pool, { by, act: 'verify', session: session ?? null });
    const verified = session === undefined ? await verifyAll(pool) : await verifySession(pool, session);
    return { ok: verified.findings.length === 0, ...verified };
  });

  app.post('/v1/index/rebuild', async (request) => {
    const { session, by } = checked(rebuildBody, request.body ?? {});
    const target = session === undefined ? 'recordings' : `session:${session}`;
    await audit.append({ actor: by, via: 'socket', act: 'index.rebuild', target, reason: null, result: 'done' });
    return rebuildIndex(pool, session === undefined ? {} : { session });
  });

  app.get('/v1/status', async () => status());

  app.post('/v1/reload', async (request, reply) => {
    const { by } = checked(reloadBody, request.body ?? {});
    // The ledger answers before anything is read: what cannot be written down is not begun.
    const reloaded = await inTransaction(pool, async (client) => {
      const outcome = await reload();
      const who = { actor: by, via: 'socket', reason: null } as const;
      await appendAudit(client, reloadEntry(who, status().gatewayId, outcome));
      return outcome;
    });
    if (!reloaded.ok) void reply.code(422);
    return reloaded;
  });
}
