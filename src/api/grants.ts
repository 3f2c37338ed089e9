import { z } from 'zod';
import type { DirectGrants } from '../access/direct.js';
import { isOpen, type People } from '../identity/people.js';
import { type ApiApp, actorIn } from './app.js';
import { connectHints } from './connect.js';
import type { RouteParts } from './routes.js';
import { actBody, grantPath, issueBody, moment, renewBody } from './schemas.js';

export type DirectBook = Pick<DirectGrants, 'issue' | 'renew'>;

type Parts = Pick<RouteParts, 'direct' | 'grants' | 'policies' | 'people' | 'status' | 'clock'>;

const issued = z.object({
  ...{ id: z.string(), handle: z.string().describe('the only time it is seen'), expiresAt: moment },
  ...{ service: z.string(), principal: z.string(), role: z.string() },
  connect: z.array(z.string()).describe('lines to paste that lead to the service'),
});
const renewed = z.object({ id: z.string(), expiresAt: moment, renewals: z.int() });
const revoked = z.object({
  ...{ id: z.string(), state: z.literal('revoked') },
  ledger: z.enum(['written', 'queued']).describe('queued: in force, and kept here until the ledger answers'),
  announced: z.boolean(),
});

/** Issue, renew, revoke: what operators may do past all requests. An issue raises the alert `direct_issue`. */
export function grantRoutes(app: ApiApp, parts: Parts): void {
  const { direct, grants } = parts;

  app.post(
    '/grants',
    {
      config: { name: 'grants.issue', secret: true, noted: true },
      schema: { summary: 'give access past all requests', body: issueBody, response: { 201: issued } },
    },
    async (request, reply) => {
      const { grant, handle } = await direct.issue(actorIn(request), request.body);
      // The one answer that holds a secret.
      void reply.code(201).header('cache-control', 'no-store');
      const { id, expiresAt, service, principal, role } = grant;
      const connect = await connectLines(parts, { service, principal, handle });
      return { id, handle, expiresAt: new Date(expiresAt).toISOString(), service, principal, role, connect };
    },
  );

  app.post(
    '/grants/:id/renew',
    {
      config: { name: 'grants.renew', noted: true },
      schema: { summary: 'move the end of a grant', params: grantPath, body: renewBody, response: { 200: renewed } },
    },
    async (request) => {
      const { id } = request.params;
      const { expiresAt, renewals } = await direct.renew(actorIn(request), id, request.body);
      return { id, expiresAt: new Date(expiresAt).toISOString(), renewals };
    },
  );

  app.post(
    '/grants/:id/revoke',
    {
      config: { name: 'grants.revoke', noted: true },
      schema: {
        summary: 'end a grant now, and its live connections',
        ...{ params: grantPath, body: actBody },
        response: { 200: revoked, 202: revoked },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { subject: by, via } = actorIn(request);
      const ended = await grants.revoke(id, { by, via, reason: request.body.reason });
      void reply.code(ended.ledger === 'queued' ? 202 : 200);
      return { id, state: 'revoked' as const, ...ended };
    },
  );
}

interface Given {
  readonly service: string;
  readonly principal: string;
  readonly handle: string;
}

async function connectLines({ policies, people, status, clock }: Parts, given: Given): Promise<string[]> {
  const protocol = policies.get(given.service)?.protocol ?? '';
  const account = await canLogIn(people, given.principal, clock.wall());
  return [...connectHints(protocol, { ...given, account }, status())];
}

/** The handle is told in any case: whether there is an account only says which ways are shown. */
async function canLogIn(people: People, principal: string, now: number): Promise<boolean> {
  const person = await people.find(principal).catch(() => null);
  return person !== null && isOpen(person, now);
}
