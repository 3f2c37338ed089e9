import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { ReviewView } from '../access/review.js';
import { standingOf } from '../access/review-usage.js';
import type { Reviews } from '../access/reviews.js';
import { iso } from '../clock.js';
import { type ApiApp, actorIn } from './app.js';
import { checked } from './faults.js';
import type { RouteParts } from './routes.js';
import { flag, idIn, line, moment, name, pageOf } from './schemas.js';

export type ReviewBook = Pick<Reviews, 'list' | 'answer' | 'ownerOf'>;

const reviewSchema = z.object({
  id: z.uuid(),
  service: z.string(),
  principal: z.string(),
  request: z.uuid().nullable().describe('null: an operator issued the grant'),
  grant: z.string(),
  owner: z.string(),
  standing: z.enum(['unused', 'used', 'wider']).describe('wider: less was used than is granted'),
  granted: z.array(z.string()).describe('the rules it may use'),
  used: z.array(z.string()).describe('those of them that it has used'),
  sessions: z.int(),
  openedAt: moment,
  dueAt: moment,
  answer: z.enum(['confirm', 'end', 'unanswered', 'over']).nullable(),
  answeredAt: moment.nullable(),
  answeredBy: z.string().nullable(),
  comment: z.string().nullable(),
  endedAt: moment.nullable(),
});

export type ReviewJson = z.infer<typeof reviewSchema>;

const reviewId = idIn('daypass reviews');
const reviewPath = z.object({ id: reviewId });
const reviewQuery = z.strictObject({
  all: flag.optional().describe('also those that were answered'),
  service: name.optional(),
  ...pageOf(reviewId),
});
const answerBody = z.strictObject({ answer: z.enum(['confirm', 'end']), comment: line });

/** Reviews of access that lasts: owners of its service answer them. */
export function reviewRoutes(app: ApiApp, { reviews, policies }: Pick<RouteParts, 'reviews' | 'policies'>): void {
  app.get(
    '/reviews',
    {
      config: { name: 'reviews.list', about: () => ({ owners: policies.all().map(({ owner }) => owner) }) },
      schema: {
        summary: 'reviews that wait for an answer, the newest first',
        querystring: reviewQuery,
        response: { 200: z.object({ reviews: z.array(reviewSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const page = await reviews.list(actorIn(request), request.query);
      return { reviews: page.reviews.map(reviewJson), next: page.next };
    },
  );
  const about = async (request: FastifyRequest) => ({
    owners: [await reviews.ownerOf(checked(reviewPath, request.params).id)],
  });
  app.post(
    '/reviews/:id',
    {
      config: { name: 'reviews.answer', about },
      schema: {
        summary: 'confirm the access, or end it',
        ...{ params: reviewPath, body: answerBody, response: { 200: reviewSchema } },
      },
    },
    async (request) => {
      const { answer, comment } = request.body;
      return reviewJson(await reviews.answer(actorIn(request), request.params.id, answer, comment));
    },
  );
}

function reviewJson(view: ReviewView): ReviewJson {
  const { openedAt, dueAt, answeredAt, endedAt, granted, used, ...rest } = view;
  return {
    ...{ ...rest, granted: [...granted], used: [...used], standing: standingOf(view) },
    ...{ openedAt: iso(openedAt), dueAt: iso(dueAt) },
    ...{ answeredAt: iso(answeredAt), endedAt: iso(endedAt) },
  };
}
