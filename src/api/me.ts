import { z } from 'zod';
import { iso } from '../clock.js';
import { type ApiApp, actorIn } from './app.js';
import type { RouteParts } from './routes.js';
import { moment } from './schemas.js';

const me = z.object({
  subject: z.string(),
  name: z.string(),
  kind: z.enum(['employee', 'contractor']),
  groups: z.array(z.string()),
  duties: z.array(z.enum(['operator', 'reviewer'])),
  owns: z.array(z.string()).describe('services whose owners they are among'),
  sponsor: z.string().nullable(),
  endsAt: moment.nullable().describe('when the account ends by itself'),
  via: z.enum(['socket', 'browser', 'token']),
});

/** Who somebody is here. */
export function meRoutes(app: ApiApp, { people, policies }: Pick<RouteParts, 'people' | 'policies'>): void {
  app.get(
    '/me',
    { config: { name: 'me.show' }, schema: { summary: 'who I am, and what I may do here', response: { 200: me } } },
    async (request) => {
      const { subject, groups, duties, via } = actorIn(request);
      const { name, kind, sponsor, endsAt } = await people.get(subject);
      const owns = policies.all().filter(({ owner }) => groups.some((group) => `group:${group}` === owner));
      return {
        ...{ subject, name, kind, groups: [...groups], duties: [...duties], owns: owns.map((service) => service.name) },
        ...{ sponsor, endsAt: iso(endsAt), via },
      };
    },
  );
}
