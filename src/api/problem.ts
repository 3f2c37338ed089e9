import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import { faultOf } from './faults.js';

/** RFC 9457, as every error of the API on the network is sent. */
export const problem = z.object({
  type: z.string().describe('urn:daypass:problem:<code>'),
  title: z.string().describe('the words of the status'),
  status: z.int(),
  detail: z.string().describe('what is wrong, one or two sentences'),
  code: z.string().describe('stable: match on this one'),
  hint: z.string().optional().describe('what to do about it'),
});

export type Problem = z.output<typeof problem>;

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** What a thrown thing looks like to people and tools: of our own failures no more than that there was one. */
export function problemOf(thrown: unknown): Problem {
  const { status, body } = faultOf(thrown);
  const { code, message, hint } = body.error;
  const title = STATUS_CODES[status] ?? 'Error';
  if (status < 500) return { type: typeOf(code), title, status, detail: message, code, ...(hint && { hint }) };
  if (status === 503)
    return {
      type: typeOf(code),
      title,
      status,
      detail: 'The gateway cannot do this at the moment.',
      code,
      hint: LATER,
    };
  return {
    type: typeOf('internal'),
    title,
    status,
    detail: 'The gateway failed to do this.',
    code: 'internal',
    hint: LOOK,
  };
}

const LATER = 'Try again in a moment.';
const LOOK = 'Look whether it was done before you try again; the log of the gateway says more.';

function typeOf(code: string): string {
  return `urn:daypass:problem:${code}`;
}
