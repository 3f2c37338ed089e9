import type { Refusal } from './expectations.js';
import type { Overrun } from './limits.js';
import { errorResponse } from './wire/backend.js';

/*
 * What a client hears in the place of an answer of the server's. Pure.
 */

/** program_limit_exceeded */
export const OVER_LIMIT = '54000';

/** A refusal, as the error that the replaced message was answered with. */
export function refusalReport({ sqlstate, decision }: Refusal): Buffer {
  return errorResponse({
    severity: 'ERROR',
    sqlstate,
    message: `Daypass: ${decision.message}`,
    detail: `Decided by: ${decision.rule}`,
    hint: decision.hint,
  });
}

/** The end of a result that went over a limit. @param detail - what became of the statement */
export function overrunReport({ key, message }: Overrun, detail: string): Buffer {
  return errorResponse({
    severity: 'ERROR',
    sqlstate: OVER_LIMIT,
    message: `Daypass: ${message}`,
    detail: `Decided by: ${key} of the role. ${detail}`,
    hint: 'ask for less: a narrower WHERE, fewer columns, or LIMIT',
  });
}
