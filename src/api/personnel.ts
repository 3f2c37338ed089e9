import { z } from 'zod';
import type { ApiApp } from './app.js';
import { closeOutQuery, type LeavingApi, leavingRoutes, offboardBody, repeatedQuery } from './leaving.js';
import type { RouteName } from './may.js';
import { type PeopleParts, peopleRoutes } from './people.js';
import { closeBody, extendBody, groupsBody, inviteBody, peopleQuery, reassignBody } from './people-schemas.js';
import { moment } from './schemas.js';

/** What is needed to let people in, and to see them out. */
export interface PersonnelParts extends PeopleParts {
  readonly leaving: LeavingApi;
}

interface Described {
  readonly name: RouteName;
  readonly summary: string;
  readonly body?: z.ZodType;
  readonly querystring?: z.ZodType;
  /** What a good answer is, by status. */
  readonly response: Readonly<Record<number, z.ZodType>>;
  /** The answer holds a link that lets somebody in. */
  readonly secret?: true;
}

const person = z.looseObject({
  subject: z.string(),
  state: z.enum(['open', 'ended', 'closed']),
  kind: z.enum(['employee', 'contractor']),
  source: z.enum(['directory', 'local']),
});
const invited = z.object({ subject: z.string(), url: z.string(), expiresAt: moment, recovery: z.boolean() });
const offboarded = z.looseObject({ complete: z.boolean() });
const file = z.unknown().meta({ type: 'object' });

/** The routes that the operator's socket has of its own, as the network's door knows them. */
const ROUTES: Readonly<Record<string, Described>> = {
  'POST /invitations': {
    ...{ name: 'people.invite', summary: 'an account, or a new way into one', secret: true, body: inviteBody },
    response: { 201: invited },
  },
  'GET /people': {
    ...{ name: 'people.list', summary: 'accounts one may see', querystring: peopleQuery },
    response: { 200: z.object({ people: z.array(person), next: z.string().nullable() }) },
  },
  'GET /people/:subject': { name: 'people.show', summary: 'one account', response: { 200: person } },
  'POST /people/:subject/reassign': {
    ...{ name: 'people.reassign', summary: 'another sponsor', body: reassignBody },
    response: { 200: person },
  },
  'POST /people/:subject/extend': {
    ...{ name: 'people.extend', summary: 'a later end', body: extendBody },
    response: { 200: person },
  },
  'POST /people/:subject/groups': {
    ...{ name: 'people.groups', summary: 'the groups of a local account', body: groupsBody },
    response: { 200: person },
  },
  'POST /people/:subject/close': {
    ...{ name: 'people.close', summary: 'end an account for good', body: closeBody },
    response: { 200: z.looseObject({ subject: z.string() }) },
  },
  'POST /offboardings': {
    ...{ name: 'offboardings.create', summary: 'end everything somebody has' },
    body: offboardBody,
    response: { 200: offboarded, 202: offboarded },
  },
  'GET /requests/:id/closeout': {
    ...{ name: 'closeouts.make', summary: 'one signed record of an engagement' },
    querystring: closeOutQuery,
    response: { 200: file },
  },
  'GET /reports/repeated': {
    ...{ name: 'reports.repeated', summary: 'what is asked for again and again', querystring: repeatedQuery },
    response: { 200: z.looseObject({ since: moment }) },
  },
};

/** Their names are given before anybody looks at them: a route that is not in the list has none, and is asked by nobody. */
export function namePersonnel(app: ApiApp): void {
  app.addHook('onRoute', (route) => {
    const path = route.url.replace(/^\/api\/v1/, '');
    const known = [route.method].flat().map((method) => ROUTES[`${method} ${path}`])[0];
    if (known === undefined) return;
    const { name, secret, ...schema } = known;
    route.config = { ...route.config, name, ...(secret === undefined ? {} : { secret }) };
    // For the description: the handlers hold what they are sent against these very schemas themselves.
    route.schema = schema;
    route.validatorCompiler = () => () => true;
    route.serializerCompiler = () => (answer) => (typeof answer === 'string' ? answer : JSON.stringify(answer));
  });
}

/** Accounts, invitations, offboarding, close-outs and reports, for people over the network. */
export function personnelRoutes(app: ApiApp, parts: PersonnelParts): void {
  peopleRoutes(app, parts);
  leavingRoutes(app, parts.leaving);
}
