import type { Refusal } from './expectations.js';
import type { Overrun } from './limits.js';
import { errorResponse, type Report } from './wire/backend.js';
import { FramingError, NoRoom } from './wire/framing.js';

/*
 * What a client hears in the place of an answer of the server's. Pure.
 */

/** program_limit_exceeded */
export const OVER_LIMIT = '54000';
/** out_of_memory */
const OUT_OF_MEMORY = '53200';

/** The end of a session for what its client sent, or for a fault of our own. */
export function faultReport(thrown: unknown): Report {
  if (!(thrown instanceof FramingError))
    return { severity: 'FATAL', sqlstate: 'XX000', message: 'Daypass: internal error' };
  const tooLarge = thrown instanceof NoRoom ? OUT_OF_MEMORY : OVER_LIMIT;
  const sqlstate = thrown.tooLarge ? tooLarge : '08P01';
  return { severity: 'FATAL', sqlstate, message: `Daypass: ${thrown.message}` };
}

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
