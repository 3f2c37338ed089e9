import type { FastifyRequest } from 'fastify';
import { operatorNamed } from '../identity/actor.js';
import type { ApiApp } from './app.js';
import { checked } from './faults.js';
import { byName } from './schemas.js';

/** Who lists things on the socket need not say who they are. */
const UNNAMED = 'the operator of this machine';

/**
 * The door of the socket: whoever can open it is the operator, and says their name as `by`, in the body of what they do or in
 * the query of what they look at. It is taken out here: what stands behind has one schema for both doors.
 */
export function operatorsDoor(app: ApiApp): void {
  app.addHook('preValidation', async (request) => {
    const from = request.method === 'GET' ? 'query' : 'body';
    const { by, rest } = split(request[from]);
    const named = by !== undefined || request.method !== 'GET' || request.routeOptions.config.viewing === true;
    request.actor = operatorNamed(named ? checked(byName, { by }).by : UNNAMED);
    request[from] = rest;
  });
}

function split(given: FastifyRequest['body']): { readonly by?: unknown; readonly rest: unknown } {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return { rest: given };
  const { by, ...rest } = { by: undefined, ...given };
  return { by, rest };
}
