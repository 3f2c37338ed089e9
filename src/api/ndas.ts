import { z } from 'zod';
import type { Ndas } from '../access/ndas.js';
import { type ApiApp, actorIn } from './app.js';
import { ndaJson, ndaSchema } from './request-views.js';
import type { RouteParts } from './routes.js';
import { flag, idIn, line, name, pageOf } from './schemas.js';

export type NdaBook = Pick<Ndas, 'register' | 'end' | 'list'>;

const registerBody = z.strictObject({
  party: name.describe('whom it binds'),
  title: line,
  textHash: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in 64 hexadecimal digits'),
  signedOn: z.iso.date(),
  validUntil: z.iso.date().describe('its last day'),
});

const ndaId = idIn('daypass nda list');
const ndaPath = z.object({ id: ndaId });

/** The register of NDAs: who is bound by which text, and until when. */
export function ndaRoutes(app: ApiApp, { ndas, policies }: Pick<RouteParts, 'ndas' | 'policies'>): void {
  const about = () => ({ owners: policies.all().map(({ owner }) => owner) });
  app.post(
    '/ndas',
    {
      config: { name: 'ndas.register', about },
      schema: { summary: 'register an NDA that was signed', body: registerBody, response: { 201: ndaSchema } },
    },
    async (request, reply) => {
      void reply.code(201);
      return ndaJson(await ndas.register(actorIn(request), request.body));
    },
  );
  app.get(
    '/ndas',
    {
      config: { name: 'ndas.list' },
      schema: {
        summary: 'NDAs that I may see, the newest first',
        querystring: z.strictObject({ party: name.optional(), valid: flag.optional(), ...pageOf(ndaId) }),
        response: { 200: z.object({ ndas: z.array(ndaSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const { party, valid = false, limit, cursor } = request.query;
      const filter = { valid, limit, ...(party !== undefined && { party }), ...(cursor !== undefined && { cursor }) };
      const page = await ndas.list(actorIn(request), filter);
      return { ndas: page.ndas.map(ndaJson), next: page.next };
    },
  );
  app.post(
    '/ndas/:id/end',
    {
      config: { name: 'ndas.end' },
      schema: {
        summary: 'take one back before its time; access that stands on it ends',
        ...{ params: ndaPath, body: z.strictObject({ reason: line }) },
        response: { 200: ndaSchema },
      },
    },
    async (request) => ndaJson(await ndas.end(actorIn(request), request.params.id, request.body.reason)),
  );
}
