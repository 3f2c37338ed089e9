import { z } from 'zod';
import type { AuditLog } from '../audit/log.js';
import { DaypassError } from '../errors.js';
import { readSession } from '../recording/read.js';
import { type ApiApp, actorIn } from './app.js';
import { aboutSession, type Recordings } from './recordings.js';
import { line, sessionPath } from './schemas.js';

/** What live sessions are ended with. */
export interface Ending extends Recordings {
  readonly audit: Pick<AuditLog, 'append'>;
}

/** The end of a live session: for reviewers, operators, and owners of the service. */
export function sessionRoutes(app: ApiApp, parts: Ending): void {
  const { audit, gate, log } = parts;

  app.post(
    '/sessions/:id/end',
    {
      config: { name: 'sessions.end', about: aboutSession(parts), noted: true },
      schema: {
        summary: 'end a live session now; its grant stays',
        ...{ params: sessionPath, body: z.strictObject({ reason: line }) },
        response: { 200: z.object({ id: z.string(), state: z.literal('ended') }) },
      },
    },
    async (request) => {
      const { id } = request.params;
      const { reason } = request.body;
      const { subject: by, via } = actorIn(request);
      if (gate.registry.get(id) === undefined) throw await whyNotLive(parts, id);
      await audit.append({ actor: by, via, act: 'session.end', target: `session:${id}`, reason, result: 'done' });
      const session = gate.registry.get(id);
      if (session === undefined) throw await whyNotLive(parts, id);
      session.recording.append('notice', { about: 'ended_by_operator', by, why: reason });
      session.cut('ended');
      log.info({ session: id, by, why: reason }, 'a session was ended by hand');
      return { id, state: 'ended' as const };
    },
  );
}

async function whyNotLive({ pool }: Ending, id: string): Promise<DaypassError> {
  const { endedAt, gatewayId } = await readSession(pool, id);
  if (endedAt !== null) return new DaypassError('already_ended', 'The session has ended already.');
  return new DaypassError('on_another_gateway', `The session is not live here; gateway ${gatewayId} opened it.`, {
    hint: 'Revoke its grant: that ends it on every gateway.',
  });
}
