import type { FastifyReply, FastifyRequest } from 'fastify';
import { DaypassError } from '../errors.js';
import type { Log } from '../log.js';
import { type ApiApp, actorIn } from './app.js';
import { type Asked, type Given, type Repeats, readKey } from './idempotency.js';
import { PROBLEM_TYPE } from './problem.js';

const HEADER = 'idempotency-key';

/**
 * Answers a request that is sent again with its Idempotency-Key as it was answered first. Added behind the guard: what
 * nobody may ask is not kept.
 */
export function repeatable(app: ApiApp, repeats: Repeats, log: Log): void {
  const first = new WeakMap<FastifyRequest, Asked>();

  app.addHook('preHandler', async (request, reply) => {
    const asked = askedOf(request);
    if (asked === null) return;
    const given = await repeats.begin(asked);
    if (given === null) first.set(request, asked);
    else return tellAgain(reply, given);
  });

  app.addHook('onSend', async (request, reply, payload) => {
    const asked = first.get(request);
    if (asked === undefined) return payload;
    first.delete(request);
    const secret = request.routeOptions.config.secret === true && reply.statusCode < 400;
    const text = secret || typeof payload !== 'string' ? null : payload;
    // Whatever failed here may be tried again; what was refused stays refused.
    const kept =
      reply.statusCode >= 500 ? repeats.forget(asked) : repeats.keep(asked, { status: reply.statusCode, text });
    await kept.catch((err: unknown) => log.error({ err, route: asked.route }, 'an answer could not be kept'));
    return payload;
  });
}

function askedOf(request: FastifyRequest): Asked | null {
  const header = request.headers[HEADER];
  if (header === undefined || request.method === 'GET' || request.is404) return null;
  const route = `${request.method} ${request.url}`;
  return { actor: actorIn(request).subject, key: readKey(header), route, body: request.bodyHash ?? Buffer.alloc(0) };
}

function tellAgain(reply: FastifyReply, { status, text }: Given): FastifyReply {
  if (text === null) {
    throw new DaypassError('not_repeatable', 'This was done. Its answer held a secret, which is kept nowhere.', {
      hint: 'If it was lost, activate again: that ends the former handle.',
    });
  }
  void reply.code(status).header('idempotency-replayed', 'true');
  return reply.type(status >= 400 ? PROBLEM_TYPE : 'application/json; charset=utf-8').send(text);
}
