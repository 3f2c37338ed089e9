import { z } from 'zod';
import type { Notices } from '../alerts/notices.js';
import { type ApiApp, actorIn } from './app.js';

const listQuery = z.strictObject({
  state: z.enum(['waiting', 'sent', 'failed']).optional(),
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
  cursor: z.uuid().optional(),
});

const notice = z.object({
  ...{ id: z.string(), kind: z.string(), at: z.string(), channel: z.string(), recipient: z.string() },
  ...{ state: z.enum(['waiting', 'sent', 'failed']), attempts: z.number(), next: z.string().nullable() },
  endedAt: z.string().nullable(),
  unsure: z.boolean().describe('it may have arrived already: then it is sent again with the same id'),
  error: z.string().nullable(),
});
const page = z.object({ notices: z.array(notice), next: z.string().nullable() });

const testParams = z.strictObject({ channel: z.string().min(1).max(64) });
const testBody = z.strictObject({ to: z.string().max(320).optional() });

/** A delivery as the API tells it. */
export type NoticeJson = z.output<typeof notice>;

/** What the routes ask. */
export interface NoticeBook {
  readonly notices: Pick<Notices, 'list' | 'test'>;
}

/** Whom was told what, and a test of each channel. */
export function noticeRoutes(app: ApiApp, { notices }: NoticeBook): void {
  app.get(
    '/notices',
    {
      config: { name: 'notices.list' },
      schema: { summary: 'what people are told, the newest first', querystring: listQuery, response: { 200: page } },
    },
    async ({ query: { state, limit, cursor } }) => {
      const found = await notices.list({ state, limit, after: cursor });
      const told = found.notices.map(({ at, dueAt, endedAt, ...rest }) => ({
        ...{ ...rest, at: iso(at) ?? '', next: iso(dueAt), endedAt: iso(endedAt) },
      }));
      return { notices: told, next: found.next };
    },
  );

  app.post(
    '/notices/test/:channel',
    {
      config: { name: 'notices.test' },
      schema: {
        summary: 'send a test by one channel now',
        ...{ params: testParams, body: testBody, response: { 200: z.object({ sent: z.literal(true) }) } },
      },
    },
    async (request) => {
      await notices.test(actorIn(request), request.params.channel, request.body.to);
      return { sent: true as const };
    },
  );
}

function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
