import { z } from 'zod';
import type { GrantView } from '../grant/record.js';
import type { Actor } from '../identity/actor.js';
import { owns } from '../identity/actor.js';
import { type ApiApp, actorIn } from './app.js';
import { checked } from './faults.js';
import type { RouteParts } from './routes.js';
import { grantPath, grantQuery } from './schemas.js';
import { actJson, grantJson, grantSchema, shownGrantSchema } from './views.js';

type Parts = Pick<RouteParts, 'grants' | 'policies'>;

/** List and show: one's own, those of services one owns, and all of them for reviewers and operators. */
export function grantViewRoutes(app: ApiApp, parts: Parts): void {
  const { grants, policies } = parts;

  app.get(
    '/grants',
    {
      config: { name: 'grants.list' },
      schema: {
        summary: 'grants that I may see, the newest first',
        querystring: grantQuery,
        response: { 200: z.object({ grants: z.array(grantSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query;
      const found = await seen(parts, actorIn(request), request.query);
      const begin = cursor === undefined ? 0 : found.findIndex(({ id }) => id === cursor) + 1;
      const page = found.slice(begin, begin + limit);
      const next = begin + limit < found.length ? (page.at(-1)?.id ?? null) : null;
      return { grants: page.map(grantJson), next };
    },
  );

  app.get(
    '/grants/:id',
    {
      config: {
        name: 'grants.show',
        about: async (request) => {
          const { principal, sponsor, service } = await grants.show(checked(grantPath, request.params).id);
          return { principal, sponsor, owners: ownersOf(policies, [service]) };
        },
      },
      schema: { summary: 'one grant with its history', params: grantPath, response: { 200: shownGrantSchema } },
    },
    async (request) => {
      const grant = await grants.show(request.params.id);
      return { ...grantJson(grant), acts: grant.acts.map(actJson) };
    },
  );
}

/** Every grant that somebody may see and asks for, the newest first. */
async function seen(
  { grants, policies }: Parts,
  actor: Actor,
  { principal, service, active }: z.output<typeof grantQuery>,
): Promise<readonly GrantView[]> {
  const filter = { ...(service && { service }), ...(active !== undefined && { active }) };
  const ofPerson = { ...filter, ...(principal && { principal }) };
  if (actor.duties.size > 0) return grants.list(ofPerson);
  const owned = policies.all().filter(({ name, owner }) => owns(actor, owner) && (service ?? name) === name);
  const asked = owned.map(({ name }) => grants.list({ ...ofPerson, service: name }));
  if ((principal ?? actor.subject) === actor.subject) asked.push(grants.list({ ...filter, principal: actor.subject }));
  const found = new Map((await Promise.all(asked)).flat().map((grant) => [grant.id, grant]));
  return [...found.values()].sort((one, other) => other.issuedAt - one.issuedAt || (one.id < other.id ? -1 : 1));
}

/** The owners of services, as their policies in force name them; of one that is gone nobody is. */
export function ownersOf(policies: Parts['policies'], services: readonly string[]): readonly string[] {
  return services.flatMap((service) => policies.get(service)?.owner ?? []);
}
