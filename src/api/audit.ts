import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { checked, faultOf } from './faults.js';
import type { ApiParts } from './parts.js';
import { viewQuery } from './schemas.js';

const text = z.string().min(1).max(500);

const auditQuery = z.strictObject({
  actor: text.optional(),
  /** `grant.issue`, or `grant` for every act on one. */
  act: text.optional(),
  target: text.optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  result: z.enum(['done', 'refused', 'failed']).optional(),
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
  cursor: z.coerce.number().int().min(1).optional(),
});

const verifyQuery = z.strictObject({ head: z.string().max(2_048).optional() });

/** List, head, export, verify. Looking at the log is no act; taking all of it away is. */
export function auditRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { audit } = parts;

  app.get('/v1/audit', async (request) => {
    const { limit, cursor, since, ...filter } = checked(auditQuery, request.query);
    return audit.list({ ...filter, since: since === undefined ? undefined : Date.parse(since) }, { limit, cursor });
  });

  app.get('/v1/audit/head', async () => ({ head: await audit.head() }));

  app.get('/v1/audit/verify', async (request) => {
    const verified = await audit.verify(checked(verifyQuery, request.query).head);
    return { ok: verified.findings.length === 0, ...verified };
  });

  app.get('/v1/audit/export', async (request, reply) => {
    const { by } = checked(viewQuery, request.query);
    const act = { act: 'audit.export', target: 'audit', reason: null, result: 'done' } as const;
    await audit.append({ actor: by, via: 'socket', ...act });
    return reply.type('application/x-ndjson').send(Readable.from(exportLines(parts)));
  });
}

/** A fault on the way is a last line of its own: what is cut off must not look complete. */
async function* exportLines({ audit, log }: ApiParts): AsyncGenerator<string> {
  try {
    yield* audit.lines();
  } catch (thrown) {
    log.error({ err: thrown }, 'the audit log could not be exported to its end');
    yield `${JSON.stringify(faultOf(thrown).body)}\n`;
  }
}
