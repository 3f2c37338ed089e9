import { Readable } from 'node:stream';
import { z } from 'zod';
import type { AuditLog } from '../audit/log.js';
import type { Log } from '../log.js';
import { type ApiApp, actorIn } from './app.js';
import { faultOf } from './faults.js';
import { plain } from './schemas.js';

const text = plain.min(1).max(500);

const auditQuery = z.strictObject({
  actor: text.optional(),
  act: text.optional().describe('grant.issue, or grant for every act on one'),
  target: text.optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  result: z.enum(['done', 'refused', 'failed']).optional(),
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
  cursor: z.coerce.number().int().min(1).optional(),
});

const entries = z.object({
  entries: z.array(z.looseObject({ seq: z.number(), hash: z.string() })),
  next: z.number().nullable(),
});
const verified = z.looseObject({ ok: z.boolean() });
const exported = {
  description: 'one line each',
  content: { 'application/x-ndjson': { schema: z.unknown().meta({ type: 'string' }) } },
};

/** What the log is read with. */
export interface AuditBook {
  readonly audit: AuditLog;
  readonly log: Log;
}

/** List, head, export, verify. Looking at the log is no act; taking all of it away is. */
export function auditRoutes(app: ApiApp, parts: AuditBook): void {
  const { audit } = parts;

  app.get(
    '/audit',
    {
      config: { name: 'audit.list' },
      schema: { summary: 'administrative acts, the newest first', querystring: auditQuery, response: { 200: entries } },
    },
    async (request) => {
      const { limit, cursor, since, ...filter } = request.query;
      const from = since === undefined ? undefined : Date.parse(since);
      const page = await audit.list({ ...filter, since: from }, { limit, cursor });
      return { entries: page.entries.map((entry) => ({ ...entry })), next: page.next };
    },
  );

  app.get(
    '/audit/head',
    {
      config: { name: 'audit.head' },
      schema: { summary: 'where the log ends now, signed', response: { 200: z.object({ head: z.string() }) } },
    },
    async () => ({ head: await audit.head() }),
  );

  app.get(
    '/audit/verify',
    {
      config: { name: 'audit.verify' },
      schema: {
        summary: 'whether the log is whole, and goes on from a head that was kept',
        querystring: z.strictObject({ head: z.string().max(2_048).optional() }),
        response: { 200: verified },
      },
    },
    async (request) => {
      const checked = await audit.verify(request.query.head);
      return { ok: checked.findings.length === 0, ...checked };
    },
  );

  app.get(
    '/audit/export',
    {
      config: { name: 'audit.export', viewing: true },
      schema: { summary: 'the whole log', querystring: z.strictObject({}), response: { 200: exported } },
    },
    async (request, reply) => {
      const { subject: actor, via } = actorIn(request);
      await audit.append({ actor, via, act: 'audit.export', target: 'audit', reason: null, result: 'done' });
      return reply.type('application/x-ndjson').send(Readable.from(exportLines(parts)));
    },
  );
}

/** A fault on the way is a last line of its own: what is cut off must not look complete. */
async function* exportLines({ audit, log }: AuditBook): AsyncGenerator<string> {
  try {
    yield* audit.lines();
  } catch (thrown) {
    log.error({ err: thrown }, 'the audit log could not be exported to its end');
    yield `${JSON.stringify(faultOf(thrown).body)}\n`;
  }
}
