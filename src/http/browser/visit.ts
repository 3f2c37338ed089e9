import type { Login } from '../../identity/logins.js';
import type { ClientRequest } from '../client/request.js';
import type { ClientResponse } from '../client/response.js';
import type { HttpParts } from '../parts.js';
import type { Answer } from './refusals.js';

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
