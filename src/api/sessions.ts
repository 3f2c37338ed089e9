import type { FastifyInstance } from 'fastify';
import { DaypassError } from '../errors.js';
import { readSession } from '../recording/read.js';
import { checked } from './faults.js';
import type { ApiParts } from './parts.js';
import { actBody, sessionPath } from './schemas.js';

/** The end of a live session: for the operator of this machine alone. */
export function sessionRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { audit, gate, log } = parts;

  app.post('/v1/sessions/:id/end', async (request) => {
    const { id } = checked(sessionPath, request.params);
    const { by, reason } = checked(actBody, request.body);
    if (gate.registry.get(id) === undefined) throw await whyNotLive(parts, id);
    const act = { act: 'session.end', target: `session:${id}`, reason, result: 'done' } as const;
    await audit.append({ actor: by, via: 'socket', ...act });
    const session = gate.registry.get(id);
    if (session === undefined) throw await whyNotLive(parts, id);
    session.recording.append('notice', { about: 'ended_by_operator', by, why: reason });
    session.cut('ended');
    log.info({ session: id, by, why: reason }, 'a session was ended by an operator');
    return { id, state: 'ended' };
  });
}

async function whyNotLive({ pool }: ApiParts, id: string): Promise<DaypassError> {
  const { endedAt, gatewayId } = await readSession(pool, id);
  if (endedAt !== null) return new DaypassError('already_ended', 'The session has ended already.');
  return new DaypassError('on_another_gateway', `The session is not live here; gateway ${gatewayId} opened it.`, {
    hint: 'Revoke its grant: that ends it on every gateway.',
  });
}
