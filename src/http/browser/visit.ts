import { sourceOf } from '../../gate/network.js';
import type { Login } from '../../identity/logins.js';
import type { ClientRequest } from '../client/request.js';
import type { ClientResponse } from '../client/response.js';
import type { HttpParts } from '../parts.js';
import { clientOf } from '../whence.js';
import { type Answer, refuse } from './refusals.js';

/** One request to the gateway's own host. */
export interface Visit {
  readonly parts: HttpParts;
  readonly req: ClientRequest;
  readonly res: ClientResponse;
  /** The gateway's own host as the browser knows it, with its port. */
  readonly host: string;
  /** The path and query that was asked for, normalised. */
  readonly target: string;
  readonly query: URLSearchParams;
  /** The login's secret that the browser holds. */
  readonly secret: string | null;
}

export type Page = (visit: Visit) => Promise<Answer> | Answer;

/** Who is logged in with this browser. */
export async function loginOf({ parts, secret }: Pick<Visit, 'parts' | 'secret'>): Promise<Login | null> {
  return secret === null ? null : parts.access.logins.find(secret);
}

/** The refusal of an address that asks for this more often than it may; null for all others. */
export function tooOften(
  { parts, req }: Pick<Visit, 'parts' | 'req'>,
  what: string,
  often: { readonly count: number; readonly seconds: number },
): Answer {
  const wait = parts.rates.take(`client ${sourceOf(clientOf(req))}`, what, often, parts.monotonic());
  return wait > 0 ? refuse.tooOften(wait) : null;
}
