import type { FastifyRequest } from 'fastify';
import type { RefusedActs } from '../audit/refusals.js';
import { type ApiApp, actorIn } from './app.js';
import { check, dependsOn, may } from './may.js';
import { noteForbidden } from './refused.js';

/**
 * Holds every route of an application against the table of who may what, before its handler is reached.
 * @throws TypeError when a route is added that has no name there, or does not say what it is about where that matters
 */
export function guard(app: ApiApp, refused: RefusedActs): void {
  app.addHook('onRoute', ({ config, url }) => {
    if (dependsOn(config?.name) && config?.about === undefined)
      throw new TypeError(`${url} does not say what it is about`);
  });
  app.addHook('preHandler', async (request) => {
    const actor = actorIn(request);
    const { name, about } = request.routeOptions.config;
    const what = await about?.(request);
    if (!may(actor, name, what)) await noteForbidden(refused, request, actor);
    check(actor, name, what);
  });
}

/**
 * Holds an answer that goes on against the table once more, with who asks as they are now (THREATS.md B11).
 * @throws DaypassError `not_allowed`, and what the door throws for whoever may no longer come in
 */
export async function checkAgain(request: FastifyRequest): Promise<void> {
  const { name, about } = request.routeOptions.config;
  const actor = (await request.again?.()) ?? actorIn(request);
  check(actor, name, await about?.(request));
}
