import { z } from 'zod';
import { durationSchema } from './values.js';

/** `reviews:` of `daypass.yaml`: when owners are asked about access that lasts. */
export const reviewsSchema = z
  .strictObject({
    first: durationSchema.default(7 * 86_400),
    every: durationSchema.default(30 * 86_400),
    answer_within: durationSchema.default(7 * 86_400),
  })
  .transform(({ first, every, answer_within }) => ({
    firstSeconds: first,
    everySeconds: every,
    answerWithinSeconds: answer_within,
  }));

export type ReviewSettings = Readonly<z.output<typeof reviewsSchema>>;
