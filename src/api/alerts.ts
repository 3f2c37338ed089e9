import { z } from 'zod';
import type { AlertBook, AlertView } from '../alerts/book.js';
import { iso } from '../clock.js';
import { ALERT_KINDS } from '../config/alerts.js';
import { type ApiApp, actorIn } from './app.js';
import { flag, idIn, line, moment, name, pageOf } from './schemas.js';

export type Alerts = Pick<AlertBook, 'list' | 'acknowledge'>;

const alertId = idIn('daypass alerts');

const alertSchema = z.object({
  id: z.uuid(),
  kind: z.string(),
  principal: z.string().nullable(),
  service: z.string().nullable(),
  grant: z.string().nullable(),
  session: z.string().nullable(),
  detail: z.looseObject({}),
  at: moment,
  count: z.int().describe('how often it was found while it was open'),
  lastAt: moment,
  acknowledgedAt: moment.nullable(),
  acknowledgedBy: z.string().nullable(),
  comment: z.string().nullable(),
});

export type AlertJson = z.infer<typeof alertSchema>;

const alertQuery = z.strictObject({
  open: flag.optional().describe('only those that nobody acknowledged'),
  kind: z.enum(ALERT_KINDS).optional(),
  person: name.optional(),
  service: name.optional(),
  ...pageOf(alertId),
});

/** Alerts, and who has seen to them: for reviewers and operators. */
export function alertRoutes(app: ApiApp, { alerts }: { readonly alerts: Alerts }): void {
  app.get(
    '/alerts',
    {
      config: { name: 'alerts.list' },
      schema: {
        summary: 'alerts, the newest first',
        querystring: alertQuery,
        response: { 200: z.object({ alerts: z.array(alertSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const page = await alerts.list(request.query);
      return { alerts: page.alerts.map(alertJson), next: page.next };
    },
  );
  app.post(
    '/alerts/:id/acknowledge',
    {
      config: { name: 'alerts.acknowledge' },
      schema: {
        summary: 'say that you have seen to it',
        ...{ params: z.object({ id: alertId }), body: z.strictObject({ comment: line }) },
        response: { 200: alertSchema },
      },
    },
    async (request) => alertJson(await alerts.acknowledge(actorIn(request), request.params.id, request.body.comment)),
  );
}

function alertJson(alert: AlertView): AlertJson {
  const { at, lastAt, acknowledgedAt, detail, ...rest } = alert;
  const times = { at: iso(at), lastAt: iso(lastAt) };
  return {
    ...rest,
    ...times,
    detail: { ...detail },
    acknowledgedAt: iso(acknowledgedAt),
  };
}
