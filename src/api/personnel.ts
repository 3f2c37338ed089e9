import type { ApiApp } from './app.js';
import { actorIn } from './app.js';
import { type LeavingApi, leavingRoutes } from './leaving.js';
import type { RouteName } from './may.js';
import { type PeopleParts, peopleRoutes } from './people.js';

/** What is needed to let people in, and to see them out. */
export interface PersonnelParts extends PeopleParts {
  readonly leaving: LeavingApi;
}

interface Described {
  readonly name: RouteName;
  readonly summary: string;
  /** The answer holds a link that lets somebody in. */
  readonly secret?: true;
}

/** The routes that the operator's socket has of its own, as the network's door knows them. */
const ROUTES: Readonly<Record<string, Described>> = {
  'POST /invitations': { name: 'people.invite', summary: 'an account, or a new way into one', secret: true },
  'GET /people': { name: 'people.list', summary: 'accounts one may see' },
  'GET /people/:subject': { name: 'people.show', summary: 'one account' },
  'POST /people/:subject/reassign': { name: 'people.reassign', summary: 'another sponsor' },
  'POST /people/:subject/extend': { name: 'people.extend', summary: 'a later end' },
  'POST /people/:subject/groups': { name: 'people.groups', summary: 'the groups of a local account' },
  'POST /people/:subject/close': { name: 'people.close', summary: 'end an account for good' },
  'POST /offboardings': { name: 'offboardings.create', summary: 'end everything somebody has' },
  'GET /requests/:id/closeout': { name: 'closeouts.make', summary: 'one signed record of an engagement' },
  'GET /reports/repeated': { name: 'reports.repeated', summary: 'what is asked for again and again' },
};

/** Their names are given before anybody looks at them: a route that is not in the list has none, and is asked by nobody. */
export function namePersonnel(app: ApiApp): void {
  app.addHook('onRoute', (route) => {
    const path = route.url.replace(/^\/api\/v1/, '');
    const known = [route.method].flat().map((method) => ROUTES[`${method} ${path}`])[0];
    if (known === undefined) return;
    const { name, summary, secret } = known;
    route.config = { ...route.config, name, ...(secret === undefined ? {} : { secret }) };
    route.schema = { summary };
  });
}

/** Accounts, invitations, offboarding, close-outs and reports, for people over the network. */
export function personnelRoutes(app: ApiApp, parts: PersonnelParts): void {
  peopleRoutes(app, parts, actorIn);
  leavingRoutes(app, parts.leaving, actorIn, '/v1');
}
