import { z } from 'zod';
import type { RevokeFilter } from '../access/revoke-many.js';
import { type ApiApp, actorIn } from './app.js';
import { checked } from './faults.js';
import { ownersOf } from './grant-views.js';
import type { RouteParts } from './routes.js';
import { grantId, line, name, requestId } from './schemas.js';

const reason = line.describe('why, one sentence');

const revocationBody = z.union([
  z.strictObject({ person: name, reason }),
  z.strictObject({ service: name, reason }),
  z.strictObject({ request: requestId, reason }),
  z.strictObject({ grant: grantId, reason }),
]);

type Asked = z.output<typeof revocationBody>;

const revocation = z.object({
  requests: z.array(z.string()).describe('what ended, by ids'),
  grants: z.array(z.string()).describe('grants that no request made'),
  ledger: z.enum(['written', 'queued']).describe('queued: in force, and kept here until the ledger answers'),
  failed: z.array(z.object({ id: z.string(), code: z.string() })).describe('what could not be ended'),
});

type Parts = Pick<RouteParts, 'grants' | 'policies' | 'people' | 'requests'>;

/** Ends access now: of a person, to a service, by a request or a grant. Live connections are cut with it. */
export function revocationRoutes(app: ApiApp, parts: Parts): void {
  app.post(
    '/revocations',
    {
      config: { name: 'revocations.create', about: (request) => aboutOf(parts, request.body) },
      schema: {
        summary: 'end every access of a person or to a service, a request or a grant, now',
        body: revocationBody,
        response: { 200: revocation, 202: revocation },
      },
    },
    async (request, reply) => {
      await checkThere(parts, request.body);
      const filter = filterOf(request.body);
      const { queued, failed, ...ended } = await parts.requests.revokeWhere(
        filter,
        actorIn(request),
        request.body.reason,
      );
      const ledger = queued > 0 ? ('queued' as const) : ('written' as const);
      void reply.code(queued > 0 ? 202 : 200);
      const told = failed.map(({ id, code }) => ({ id, code }));
      return { requests: [...ended.requests], grants: [...ended.grants], ledger, failed: told };
    },
  );
}

/** Whose services it is about; of a person's every access nobody is the owner, and of a request `Requests` knows. */
async function aboutOf({ grants, policies }: Parts, body: unknown) {
  const asked = checked(revocationBody, body);
  if ('service' in asked) return { owners: ownersOf(policies, [asked.service]) };
  if ('grant' in asked) return { owners: ownersOf(policies, [(await grants.show(asked.grant)).service]) };
  return { owners: 'request' in asked ? policies.all().map(({ owner }) => owner) : [] };
}

/** A name that was mistyped is not told as done. */
async function checkThere({ people, policies, grants }: Parts, asked: Asked): Promise<void> {
  if ('service' in asked && policies.get(asked.service) !== undefined) return;
  if (!('person' in asked)) return;
  // Operators issue grants to people without an account too.
  if ((await grants.list({ principal: asked.person, active: true })).length === 0) await people.get(asked.person);
}

function filterOf(asked: Asked): RevokeFilter {
  if ('person' in asked) return { principal: asked.person };
  if ('service' in asked) return { service: asked.service };
  return 'request' in asked ? { request: asked.request } : { grant: asked.grant };
}
