import type { FastifyInstance } from 'fastify';
import { isOpen, type People } from '../identity/people.js';
import { connectHints } from './connect.js';
import { checked } from './faults.js';
import type { ApiParts } from './parts.js';
import { actBody, grantPath, issueBody, renewBody } from './schemas.js';

/** Issue, renew, revoke: what the operator of this machine may do past all requests. */
export function grantRoutes(app: FastifyInstance, { grants, policies, people, status, clock }: ApiParts): void {
  app.post('/v1/grants', async (request, reply) => {
    const { grant, handle } = await grants.issue(checked(issueBody, request.body));
    const { id, service, principal, role, expiresAt } = grant;
    const protocol = policies.get(service)?.protocol ?? '';
    const account = await canLogIn(people, principal, clock.wall());
    const connect = connectHints(protocol, { service, principal, handle, account }, status());
    // The one answer that holds a secret.
    void reply.code(201).header('cache-control', 'no-store');
    return { id, handle, expiresAt: new Date(expiresAt).toISOString(), service, principal, role, connect };
  });

  app.post('/v1/grants/:id/renew', async (request) => {
    const { id } = checked(grantPath, request.params);
    const { expiresAt, renewals } = await grants.renew(id, checked(renewBody, request.body));
    return { id, expiresAt: new Date(expiresAt).toISOString(), renewals };
  });

  app.post('/v1/grants/:id/revoke', async (request, reply) => {
    const { id } = checked(grantPath, request.params);
    const revoked = await grants.revoke(id, checked(actBody, request.body));
    if (revoked.ledger === 'queued') void reply.code(202);
    return { id, state: 'revoked', ...revoked };
  });
}

/** The handle is told in any case: whether there is an account only says which ways are shown. */
async function canLogIn(people: People, principal: string, now: number): Promise<boolean> {
  const person = await people.find(principal).catch(() => null);
  return person !== null && isOpen(person, now);
}
