import type { FastifyInstance } from 'fastify';
import { DaypassError } from '../errors.js';
import { isOpen } from '../identity/people.js';
import { gatewayAddress } from './connect.js';
import { checked } from './faults.js';
import type { ApiParts } from './parts.js';
import { loginBody } from './schemas.js';

/** Links that log a browser in, and the end of all logins of a person. */
export function loginRoutes(app: FastifyInstance, { logins, people, clock, status }: ApiParts): void {
  app.post('/v1/login-links', async (request, reply) => {
    const { principal, ...act } = checked(loginBody, request.body);
    const person = await people.find(principal);
    if (person !== null && !isOpen(person, clock.wall()))
      throw new DaypassError('account_over', `The account of ${principal} has ended or was closed.`);
    const { secret, expiresAt } = await logins.link(principal, act);
    void reply.code(201).header('cache-control', 'no-store');
    // Behind `#` the code is sent to no server, and stands in no log and no Referer.
    const url = `${gatewayAddress(status())}/login#${secret}`;
    return { principal, url, expiresAt: new Date(expiresAt).toISOString() };
  });

  app.post('/v1/logouts', async (request) => {
    const { principal, ...act } = checked(loginBody, request.body);
    return { principal, logins: await logins.logOut(principal, act) };
  });
}
