import { z } from 'zod';
import type { AuditLog } from '../audit/log.js';
import { DaypassError } from '../errors.js';
import type { OrderedEnds } from '../gate/ordered-ends.js';
import { readSession } from '../recording/read.js';
import { type ApiApp, actorIn } from './app.js';
import { aboutSession, type Recordings } from './recordings.js';
import { line, sessionPath } from './schemas.js';

/** What live sessions are ended with. */
export interface Ending extends Recordings {
  readonly audit: Pick<AuditLog, 'append'>;
  readonly ends: Pick<OrderedEnds, 'endHere' | 'order'>;
}

const ended = z.object({ id: z.string(), state: z.literal('ended') });
const queued = z.object({
  id: z.string(),
  state: z.literal('queued').describe('its gateway has not confirmed it; it ends as soon as that reads the ledger'),
});

/** The end of a live session, on whichever gateway it is: for reviewers, operators, and owners of the service. */
export function sessionRoutes(app: ApiApp, parts: Ending): void {
  const { audit, gate, ends } = parts;

  app.post(
    '/sessions/:id/end',
    {
      config: { name: 'sessions.end', about: aboutSession(parts), noted: true },
      schema: {
        summary: 'end a live session now; its grant stays',
        ...{ params: sessionPath, body: z.strictObject({ reason: line }) },
        response: { 200: ended, 202: queued },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { reason } = request.body;
      const { subject: by, via } = actorIn(request);
      if (gate.live.registry.get(id) === undefined) {
        await checkOpen(parts, id);
        if (await ends.order({ session: id, by, via, reason })) return { id, state: 'ended' as const };
        void reply.code(202);
        return { id, state: 'queued' as const };
      }
      await audit.append({ actor: by, via, act: 'session.end', target: `session:${id}`, reason, result: 'done' });
      if (!ends.endHere({ session: id, by, reason })) await checkOpen(parts, id);
      return { id, state: 'ended' as const };
    },
  );
}

/** @throws DaypassError `unknown_session`, `already_ended` */
async function checkOpen({ pool }: Ending, id: string): Promise<void> {
  const { endedAt } = await readSession(pool, id);
  if (endedAt !== null) throw new DaypassError('already_ended', 'The session has ended already.');
}
