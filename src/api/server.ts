import { once } from 'node:events';
import fastify, { type FastifyInstance } from 'fastify';
import { RefusedActs } from '../audit/refusals.js';
import { auditRoutes } from './audit.js';
import { faultOf } from './faults.js';
import { grantRoutes } from './grants.js';
import { loginRoutes } from './logins.js';
import { maintenanceRoutes } from './maintenance.js';
import type { ApiParts } from './parts.js';
import { peopleRoutes } from './people.js';
import { noteRefusal } from './refused.js';
import { sessionRoutes } from './sessions.js';
import { listenOnSocket } from './socket.js';
import { workerRoutes } from './worker.js';

/** A running API. */
export interface Api {
  /** Refuses new requests, lets those under way end, and removes the socket. */
  close(): Promise<void>;
}

const LARGEST_BODY = 64 * 1024;

/**
 * The administration API: JSON over HTTP on a unix socket that only its owner can open. Whoever can reach it is the
 * operator; every act names who does it and why.
 * @throws DaypassError `already_running`, `data_directory_unsafe`, `socket_path_too_long`
 */
export async function startApi(parts: ApiParts): Promise<Api> {
  const app = buildApi(parts);
  await app.ready();
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
export function buildApi(parts: ApiParts): FastifyInstance {
  const app = fastify({ logger: false, bodyLimit: LARGEST_BODY });
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
  grantRoutes(app, parts);
  loginRoutes(app, parts);
  peopleRoutes(app, parts);
  sessionRoutes(app, parts);
  maintenanceRoutes(app, parts);
  auditRoutes(app, parts);
  if (parts.worker !== undefined) workerRoutes(app, parts, parts.worker);
  return app;
}
