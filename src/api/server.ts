import { once } from 'node:events';
import type { FastifyInstance } from 'fastify';
import { RefusedActs } from '../audit/refusals.js';
import { newApp } from './app.js';
import { faultOf } from './faults.js';
import { guard } from './guard.js';
import { leavingRoutes } from './leaving.js';
import { loginRoutes } from './logins.js';
import { maintenanceRoutes } from './maintenance.js';
import type { ApiParts } from './parts.js';
import { peopleRoutes } from './people.js';
import { noteRefusal } from './refused.js';
import { sharedRoutes } from './routes.js';
import { listenOnSocket } from './socket.js';
import { operatorsDoor } from './socket-door.js';
import { workerRoutes } from './worker.js';

/** A running API. */
export interface Api {
  /** Refuses new requests, lets those under way end, and removes the socket. */
  close(): Promise<void>;
}

/**
 * The administration API: JSON over HTTP on a unix socket that only its owner can open. Whoever can reach it is the
 * operator; every act names who does it and why.
 * @throws DaypassError `already_running`, `data_directory_unsafe`, `socket_path_too_long`
 */
export async function startApi(parts: ApiParts): Promise<Api> {
  const app = await buildApi(parts);
  await listenOnSocket(app.server, parts.socketPath);
  return { close: () => close(app) };
}

/** How long requests under way may take to end, milliseconds. */
const CLOSE_WITHIN = 1_000;

async function close(app: FastifyInstance): Promise<void> {
  const closed = once(app.server, 'close');
  app.server.close();
  app.server.closeIdleConnections();
  const timer = setTimeout(() => app.server.closeAllConnections(), CLOSE_WITHIN);
  await closed;
  clearTimeout(timer);
  await app.close();
}

/** The routes without a listener. */
async function buildApi(parts: ApiParts): Promise<FastifyInstance> {
  const app = newApp();
  const refused = new RefusedActs({ ...parts, append: (entry) => parts.audit.append(entry) });
  app.addHook('onClose', () => refused.close());
  app.setErrorHandler(async (thrown, request, reply) => {
    const { status, body } = faultOf(thrown);
    const { method, url } = request;
    if (status >= 500) parts.log.error({ err: thrown, method, url }, 'the API could not do what was asked');
    await noteRefusal(refused, request, { status, code: body.error.code });
    return reply.code(status).send(body);
  });
  app.setNotFoundHandler((request, reply) => {
    const message = `There is no ${request.method} ${request.url.split('?')[0]} here.`;
    void reply.code(404).send({ error: { code: 'not_found', message } });
  });
  loginRoutes(app, parts);
  await app.register(async (scope) => {
    operatorsDoor(scope);
    peopleRoutes(scope, parts);
    if (parts.leaving !== undefined) leavingRoutes(scope, parts.leaving);
  });
  await app.register(
    async (scope) => {
      operatorsDoor(scope);
      guard(scope, refused);
      sharedRoutes(scope, parts);
    },
    { prefix: '/v1' },
  );
  maintenanceRoutes(app, parts);
  if (parts.worker !== undefined) workerRoutes(app, parts, parts.worker);
  await app.ready();
  return app;
}
