import { z } from 'zod';
import type { RequestFilter } from '../access/listing.js';
import type { RequestView } from '../access/request.js';
import type { Requests } from '../access/requests.js';
import { type ApiApp, actorIn } from './app.js';
import { connectHints } from './connect.js';
import {
  type RequestJson,
  requestDetailJson,
  requestDetailSchema,
  requestJson,
  requestSchema,
  requestState,
} from './request-views.js';
import type { RouteParts } from './routes.js';
import { flag, idIn, line, moment, name, pageOf, plain, requestId } from './schemas.js';

/** What the routes ask of requests; they judge each under the lock of its row. */
export type RequestBook = Pick<
  Requests,
  | 'create'
  | 'withdraw'
  | 'decide'
  | 'activate'
  | 'renew'
  | 'giveBack'
  | 'revoke'
  | 'revokeWhere'
  | 'review'
  | 'get'
  | 'list'
>;

const seconds = z
  .int()
  .min(1)
  .max(366 * 86_400);
const time = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));
const requestPath = z.object({ id: requestId });
const reasonBody = z.strictObject({ reason: line });

const createBody = z.strictObject({
  service: name,
  role: name.optional().describe("the service's first role when not given"),
  task: line.describe('what exactly is to be done, one sentence'),
  from: time.optional().describe('when it is to begin; now when not given'),
  to: time.optional().describe('the last moment to begin, where the clock starts at first use'),
  seconds,
  hours: z.string().max(200).optional().describe('Mon-Fri 09:00-18:00 Europe/Berlin'),
  sponsor: name.optional(),
  nda: idIn('daypass nda list').optional(),
  breakGlass: z.boolean().optional().describe('at once and short, reviewed afterwards'),
});

const approveBody = z.strictObject({
  comment: line,
  role: name.optional().describe('a narrower role'),
  seconds: seconds.optional().describe('a shorter time'),
  only: z.array(plain.min(1).max(1_000)).min(1).max(100).optional().describe('texts of the rules that remain'),
});

const activateBody = z.strictObject({
  acknowledge: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, 'a SHA-256 in hexadecimal digits')
    .optional()
    .describe("SHA-256 of the NDA's text, by which its terms are acknowledged"),
});

const activated = z.object({
  request: requestSchema,
  grant: z.string(),
  handle: z.string().describe('told this once'),
  expiresAt: moment,
  connect: z.array(z.string()).describe('lines to paste'),
});

const listQuery = z.strictObject({
  mine: flag.optional(),
  state: requestState.optional(),
  service: name.optional(),
  person: name.optional(),
  toDecide: flag.optional().describe('only those that I may decide about and have not'),
  unreviewed: flag.optional().describe('only break-glass access that nobody has reviewed'),
  ...pageOf(requestId),
});

/** What `Requests.list` gives at most. */
const MOST_LISTED = 500;

type Parts = Pick<RouteParts, 'requests' | 'policies' | 'status'>;
type Told = (view: RequestView) => RequestJson;

/** Ask for access, decide about it, use it, give it back. */
export function requestRoutes(app: ApiApp, parts: Parts): void {
  const json: Told = (view) => requestJson(view, parts.policies);
  askingRoutes(app, parts, json);
  decidingRoutes(app, parts, json);
  usingRoutes(app, parts, json);
}

function askingRoutes(app: ApiApp, { requests, policies }: Parts, json: Told): void {
  app.post(
    '/requests',
    {
      config: { name: 'requests.create' },
      schema: { summary: 'ask for access for myself', body: createBody, response: { 201: requestSchema } },
    },
    async (request, reply) => {
      void reply.code(201);
      return json(await requests.create(actorIn(request), request.body));
    },
  );
  app.get(
    '/requests',
    {
      config: { name: 'requests.list' },
      schema: {
        summary: 'requests that I may see, the newest first',
        querystring: listQuery,
        response: { 200: z.object({ requests: z.array(requestSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const page = await requests.list(actorIn(request), filterOf(request.query));
      return { requests: page.requests.map(json), next: page.next };
    },
  );
  app.get(
    '/requests/:id',
    {
      config: { name: 'requests.show' },
      schema: {
        summary: 'one request with its decisions and what happened to it',
        params: requestPath,
        response: { 200: requestDetailSchema },
      },
    },
    async (request) => requestDetailJson(await requests.get(actorIn(request), request.params.id), policies),
  );
  app.post(
    '/requests/:id/withdraw',
    {
      config: { name: 'requests.withdraw' },
      schema: { summary: 'take my request back', ...acted(reasonBody), response: { 200: requestSchema } },
    },
    async (request) => json(await requests.withdraw(actorIn(request), request.params.id, request.body.reason)),
  );
}

function decidingRoutes(app: ApiApp, { requests, policies }: Parts, json: Told): void {
  const about = () => ({ owners: policies.all().map(({ owner }) => owner) });
  app.post(
    '/requests/:id/approve',
    {
      config: { name: 'requests.approve', about },
      schema: {
        summary: 'agree, as a whole or to less',
        ...acted(approveBody),
        response: { 200: requestSchema },
      },
    },
    async (request) => {
      const decided = { outcome: 'approve' as const, ...request.body };
      return json(await requests.decide(actorIn(request), request.params.id, decided));
    },
  );
  app.post(
    '/requests/:id/refuse',
    {
      config: { name: 'requests.refuse', about },
      schema: {
        summary: 'refuse, saying why',
        ...acted(z.strictObject({ comment: line })),
        response: { 200: requestSchema },
      },
    },
    async (request) => {
      const decided = { outcome: 'refuse' as const, ...request.body };
      return json(await requests.decide(actorIn(request), request.params.id, decided));
    },
  );
  app.post(
    '/requests/:id/review',
    {
      config: { name: 'requests.review', about },
      schema: {
        summary: 'say afterwards what was found of break-glass access',
        ...acted(z.strictObject({ comment: line })),
        response: { 200: requestSchema },
      },
    },
    async (request) => json(await requests.review(actorIn(request), request.params.id, request.body)),
  );
  const ended = requestSchema.extend({ ledger: z.enum(['written', 'queued']) });
  app.post(
    '/requests/:id/revoke',
    {
      config: { name: 'requests.revoke', about },
      schema: { summary: 'end it and its grant for good', ...acted(reasonBody), response: { 200: ended, 202: ended } },
    },
    async (request, reply) => {
      const { ledger, ...view } = await requests.revoke(actorIn(request), request.params.id, request.body.reason);
      void reply.code(ledger === 'queued' ? 202 : 200);
      return { ...json(view), ledger };
    },
  );
}

function usingRoutes(app: ApiApp, { requests, policies, status }: Parts, json: Told): void {
  app.post(
    '/requests/:id/activate',
    {
      config: { name: 'requests.activate', secret: true },
      schema: {
        summary: 'begin: answers the handle, this once; asked again it ends the former one',
        ...acted(activateBody),
        response: { 201: activated },
      },
    },
    async (request, reply) => {
      const made = await requests.activate(actorIn(request), request.params.id, request.body);
      const { service, principal, id, expiresAt } = made.grant;
      const protocol = policies.get(service)?.protocol ?? '';
      const { handle } = made;
      const connect = connectHints(protocol, { service, principal, handle, account: true }, status());
      void reply.code(201);
      const expires = new Date(expiresAt).toISOString();
      return { request: json(made.request), grant: id, handle, expiresAt: expires, connect };
    },
  );
  app.post(
    '/requests/:id/renew',
    {
      config: { name: 'requests.renew' },
      schema: {
        summary: 'move the end of my access; open connections stay',
        ...acted(z.strictObject({ seconds, reason: line })),
        response: { 200: requestSchema },
      },
    },
    async (request) => json(await requests.renew(actorIn(request), request.params.id, request.body)),
  );
  app.post(
    '/requests/:id/return',
    {
      config: { name: 'requests.return' },
      schema: { summary: 'give my access back early', ...acted(reasonBody), response: { 200: requestSchema } },
    },
    async (request) => json(await requests.giveBack(actorIn(request), request.params.id, request.body.reason)),
  );
}

function acted<Body extends z.ZodType>(body: Body) {
  return { params: requestPath, body };
}

function filterOf({ limit, cursor, state, service, person, ...flags }: z.output<typeof listQuery>): RequestFilter {
  const { mine = false, toDecide = false, unreviewed = false } = flags;
  return {
    ...{ mine, toDecide, unreviewed, limit: Math.min(limit, MOST_LISTED) },
    ...(cursor === undefined ? {} : { cursor }),
    ...(state === undefined ? {} : { state }),
    ...(service === undefined ? {} : { service }),
    ...(person === undefined ? {} : { person }),
  };
}
