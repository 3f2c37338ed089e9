/*
 * The API at the gateway's own host, for people and tools:
 *
 *   listener (framing, Host, path)      api
 *     | request, visit ---------------> | two logins? token or cookie? whose idea?   401, 400, 403
 *     |                                 | an account that is open                    403
 *     |                                 | not too often                              429
 *     |                                 | body: JSON of the route's schema           400, 413, 415
 *     |                                 | may.ts                                     403
 *     |                                 | Idempotency-Key: asked before?             the same answer
 *     | <------------------------------ | handler
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Pool } from 'pg';
import { RefusedActs } from '../audit/refusals.js';
import { DaypassError } from '../errors.js';
import { sourceOf } from '../gate/network.js';
import type { Log } from '../log.js';
import { type ApiApp, actorIn, newApp } from './app.js';
import { guard } from './guard.js';
import { Repeats } from './idempotency.js';
import { described } from './openapi.js';
import { namePersonnel, type PersonnelParts, personnelRoutes } from './personnel.js';
import { PROBLEM_TYPE, problemOf } from './problem.js';
import { noteRefusal } from './refused.js';
import { repeatable } from './repeating.js';
import { type RouteParts, sharedRoutes } from './routes.js';
import { type TunnelParts, tunnelRoutes } from './tunnels.js';
import { askForLogin, type Visit, type WhoParts, whoAsks } from './who.js';

export interface NetworkParts
  extends RouteParts,
    WhoParts,
    Pick<TunnelParts, 'bearers' | 'ways'>,
    Pick<PersonnelParts, 'accounts' | 'passkeys' | 'leaving'> {
  /** Where answers are kept that are asked for again. */
  readonly repeats: Pool;
  readonly gate: RouteParts['gate'] & TunnelParts['gate'];
  /** Counts one answer. */
  readonly answered: (status: number) => void;
  readonly version: string;
  readonly log: Log;
}

/** The API without a listener: whoever has one hands requests over. */
export interface NetworkApi {
  /** Answers one request whose path is normalised and whose framing was looked at. */
  serve(req: IncomingMessage, res: ServerResponse, visit: Visit): void;
  close(): Promise<void>;
}

/** How often one person may ask, and how often one address without a login, in a minute. */
const ASKED = { max: 300, timeWindow: 60_000 };
const STRANGERS = { max: 60, timeWindow: 60_000 };

const OWN_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};

/** Builds the API. */
export async function openNetworkApi(parts: NetworkParts): Promise<NetworkApi> {
  const app = newApp();
  const visits = new WeakMap<IncomingMessage, Visit>();
  const visitOf = (raw: IncomingMessage): Visit => {
    const visit = visits.get(raw);
    if (visit === undefined) throw new Error('a request came around the listener');
    return visit;
  };
  await app.register(swagger, described(parts.version));
  await app.register(rateLimit, { global: false });
  const refused = new RefusedActs({ ...parts, append: (entry) => parts.audit.append(entry) });
  app.addHook('onClose', () => refused.close());
  tellProblems(app, parts, visitOf, refused);
  identify(app, parts, visitOf);
  const repeats = new Repeats(parts.repeats, parts.clock);
  // Made when first asked for: it takes as long as all the rest of the API.
  let description: string | undefined;
  const describe = () => (description ??= `${JSON.stringify(app.swagger(), null, 2)}\n`);
  app.get('/api/v1/openapi.json', { config: { open: true }, schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(describe()),
  );
  await app.register(
    async (scope) => {
      guard(scope, refused);
      repeatable(scope, repeats, parts.log);
      sharedRoutes(scope, parts);
      tunnelRoutes(scope, parts, visitOf);
    },
    { prefix: '/api/v1' },
  );
  await app.register(
    async (scope) => {
      namePersonnel(scope);
      guard(scope, refused);
      repeatable(scope, repeats, parts.log);
      personnelRoutes(scope, parts);
    },
    { prefix: '/api' },
  );
  await app.ready();
  const serve = (req: IncomingMessage, res: ServerResponse, visit: Visit) => {
    visits.set(req, visit);
    app.routing(req, res);
  };
  return { serve, close: () => app.close() };
}

/** Who asks is known before anything of the request is read. Whoever has no login is counted by address, and only then. */
function identify(app: ApiApp, parts: NetworkParts, visitOf: (raw: IncomingMessage) => Visit): void {
  const source = (request: FastifyRequest) => sourceOf(visitOf(request.raw).client);
  const stranger = app.createRateLimit({ ...STRANGERS, keyGenerator: source });
  const person = app.createRateLimit({ ...ASKED, keyGenerator: (request) => actorIn(request).subject });

  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(OWN_HEADERS);
    if (request.method !== 'GET' && request.method !== 'POST') throw notAMethod(reply);
    if (request.routeOptions.config.open === true) return within(await stranger(request), reply);
    const visit = visitOf(request.raw);
    const who = () => whoAsks(parts, visit, request);
    try {
      request.actor = await who();
      request.again = who;
    } catch (thrown) {
      if (isStranger(thrown)) within(await stranger(request), reply);
      throw thrown;
    }
    if (!visit.letIn(actorIn(request).subject)) throw crowded();
    within(await person(request), reply);
  });
}

function isStranger(thrown: unknown): boolean {
  return thrown instanceof DaypassError && thrown.code !== 'ledger_unavailable';
}

type Limited = Awaited<ReturnType<ReturnType<ApiApp['createRateLimit']>>>;

function within(limited: Limited, reply: FastifyReply): void {
  if (limited.isAllowed || !limited.isExceeded) return;
  void reply.header('retry-after', String(limited.ttlInSeconds));
  throw new DaypassError('too_many_requests', 'Too many requests.', { hint: `Wait ${limited.ttlInSeconds} s.` });
}

function crowded(): DaypassError {
  const message = 'You have more connections here than there is room for.';
  return new DaypassError('too_many_connections', message, { hint: 'Close some, and try again.' });
}

function notAMethod(reply: FastifyReply): DaypassError {
  void reply.header('allow', 'GET, POST');
  return new DaypassError('not_a_method', 'There are GET and POST here.');
}

/** Every error as a problem; what is our own is logged, and everything counted, once. */
function tellProblems(
  app: ApiApp,
  { log, answered }: NetworkParts,
  visitOf: (raw: IncomingMessage) => Visit,
  refused: RefusedActs,
): void {
  app.setErrorHandler(async (thrown, request, reply) => {
    // Whoever asked has left before the first byte of what is streamed: nothing failed, and nobody hears.
    if (reply.raw.destroyed && isCutShort(thrown)) return reply.hijack();
    const problem = problemOf(thrown);
    const { status, code } = problem;
    const { method } = request;
    const told = { status, code, method, path: request.url.split('?')[0], client: visitOf(request.raw).client };
    const who = request.actor === null ? told : { ...told, subject: request.actor.subject };
    // A gateway that stops says so to whoever comes: nothing is wrong with it.
    if (status >= 500 && code !== 'shutting_down')
      log.error({ ...who, err: thrown }, 'the API could not do what was asked');
    else log.info(who, 'the API refused');
    if (request.actor !== null) await noteRefusal(refused, request, { status, code });
    if (status === 401) askForLogin(reply, code);
    if (status === 503 || code === 'under_way') void reply.header('retry-after', '1');
    return reply.code(status).type(PROBLEM_TYPE).send(problem);
  });
  app.setNotFoundHandler(async (request) => {
    throw new DaypassError('not_found', `There is no ${request.method} ${request.url.split('?')[0]} here.`, {
      hint: 'GET /api/v1/openapi.json says what there is.',
    });
  });
  app.addHook('onResponse', async (_request, reply) => answered(reply.statusCode));
}

/** What Node says of a stream whose reader is gone. */
function isCutShort(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_STREAM_PREMATURE_CLOSE';
}
