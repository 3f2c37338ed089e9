import { z } from 'zod';
import type { Notices } from '../alerts/notices.js';
import type { Retried } from '../alerts/retry.js';
import { iso } from '../clock.js';
import { DaypassError } from '../errors.js';
import { type ApiApp, actorIn } from './app.js';
import { idIn, plain } from './schemas.js';

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

const retryBody = z.strictObject({
  delivery: idIn('daypass notices failed').optional().describe('one that was given up'),
  channel: plain
    .min(1)
    .max(64)
    .optional()
    .describe('in place of one: all that were given up of this channel, a thousand at once'),
});

const retried = z.object({
  retried: z.int().describe('how many are in the outbox again'),
  unsure: z
    .int()
    .describe('of how many of these nobody knows whether they arrived: they may arrive twice, with the same id'),
  skipped: z.int().describe('how many stay as they are: there is nobody to write to'),
  more: z.boolean().describe('whether to ask again'),
});

/** What came of deliveries that were sent again by hand, as the API tells it. */
export type RetriedJson = z.output<typeof retried>;

/** A delivery as the API tells it. */
export type NoticeJson = z.output<typeof notice>;

/** What the routes ask. */
export interface NoticeBook {
  readonly notices: Pick<Notices, 'list' | 'test' | 'retry'>;
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
        ...{ ...rest, at: iso(at), next: iso(dueAt), endedAt: iso(endedAt) },
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

  app.post(
    '/notices/retry',
    {
      config: { name: 'notices.retry' },
      schema: {
        summary: 'send again what was given up; it may arrive twice where nobody knows whether it did',
        ...{ body: retryBody, response: { 200: retried } },
      },
    },
    async (request) => notices.retry(actorIn(request), retriedIn(request.body)),
  );
}

/** @throws DaypassError `invalid_request` */
function retriedIn({ delivery, channel }: z.output<typeof retryBody>): Retried {
  if (delivery !== undefined && channel === undefined) return { delivery };
  if (channel !== undefined && delivery === undefined) return { channel };
  throw new DaypassError('invalid_request', 'Name one delivery, or a channel.');
}
