import type { BodyTooLarge } from '../body/body.js';
import { type Refusal, refusalFor } from './deny.js';

/** What a client is told of an exchange that comes to no good end, where no decision stands for it. */

/** @param session - its id, as in all of them */
export function serviceFailed(isTimeout: boolean, session: string): Refusal {
  const detail = isTimeout ? TOO_LATE : 'The service could not be reached, or broke off.';
  const hint = 'try again in a moment; tell the owner of the service if it stays so';
  return refusalFor('upstream_unavailable', detail, { status: failureStatus(isTimeout), hint, session });
}

export function noWebSocket(isTimeout: boolean, session: string): Refusal {
  const detail = isTimeout ? TOO_LATE : 'The service could not be reached, or did not open a WebSocket.';
  return refusalFor('upstream_unavailable', detail, { status: failureStatus(isTimeout), session });
}

export function noEventStream(session: string): Refusal {
  const detail = 'The service answered with something else than the event stream that is allowed.';
  return refusalFor('upstream_unavailable', detail, { session });
}

export function bodyTooLarge({ message }: BodyTooLarge, session: string): Refusal {
  return refusalFor('too_large', `${message}, which is what its rule allows.`, { hint: 'send less', session });
}

export function bodyUnrecorded(session: string): Refusal {
  const hint = 'try again in a moment';
  return refusalFor('recorder_unavailable', 'The body could not be recorded.', { hint, session });
}

/** The status that stands for a service that failed. */
export function failureStatus(isTimeout: boolean): 502 | 504 {
  return isTimeout ? 504 : 502;
}

const TOO_LATE = 'The service did not answer in time.';
