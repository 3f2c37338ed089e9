import { z } from 'zod';
import { iso } from '../clock.js';
import type { ServicePolicy } from '../config/protocol.js';
import { timeLeftOf } from '../grant/lease.js';
import type { GrantView } from '../grant/record.js';
import { type ApiApp, actorIn } from './app.js';
import type { RouteParts } from './routes.js';
import { moment } from './schemas.js';

const held = z.object({
  grant: z.string(),
  role: z.string(),
  notBefore: moment,
  expiresAt: moment,
  window: z.string().nullable().describe('the weekly hours during which it may be used'),
  until: moment.describe('when it may be used no longer: its end, or the end of its hours when that comes first'),
  ends: z.enum(['expired', 'hours_over']).describe('what comes then'),
  outside: z.string().nullable().describe('why its hours keep it from being used now, and when they begin'),
  secondsLeft: z.int().min(0).describe('to that moment, from now or from its beginning'),
  begun: z.boolean(),
  suspended: z.boolean(),
  only: z.array(z.string()).nullable().describe('the rules of the role that it is for; null: all of them'),
});

const service = z.object({
  name: z.string(),
  protocol: z.string(),
  lane: z.enum(['code', 'data', 'production']),
  owner: z.string().describe('the group that decides: group:<name>'),
  roles: z.array(z.string()).describe('the first is the default'),
  limits: z.object({ maxDurationSeconds: z.int(), maxRenewals: z.int() }),
  grants: z.array(held).describe('mine, those that are in force or begin later'),
});

/** What there is to ask for: names and limits, and nothing of what stands behind them. */
export function serviceRoutes(app: ApiApp, { policies, grants, clock }: RouteParts): void {
  app.get(
    '/services',
    {
      config: { name: 'services.list' },
      schema: {
        summary: 'what one may ask for and reach, with my grants and how long they last',
        response: { 200: z.object({ services: z.array(service) }) },
      },
    },
    async (request) => {
      const { subject, via } = actorIn(request);
      const mine = via === 'socket' ? [] : await grants.list({ principal: subject, active: true });
      const now = clock.wall();
      return { services: policies.all().map((policy) => serviceJson(policy, mine, now)) };
    },
  );
}

function serviceJson(policy: ServicePolicy, mine: readonly GrantView[], now: number) {
  const { name, protocol, lane, owner, defaultRole } = policy;
  const others = [...policy.roles.keys()].filter((role) => role !== defaultRole);
  const { maxDurationSeconds, maxRenewals } = policy.grants;
  return {
    ...{ name, protocol, lane, owner, roles: [defaultRole, ...others] },
    limits: { maxDurationSeconds, maxRenewals },
    grants: mine.filter((grant) => grant.service === name).map((grant) => heldJson(grant, now)),
  };
}

function heldJson(grant: GrantView, now: number) {
  const { id, role, notBefore, expiresAt, suspendedAt, window, only } = grant;
  const { until, end, left, outside } = timeLeftOf(grant, now);
  return {
    ...{ grant: id, role, notBefore: iso(notBefore), expiresAt: iso(expiresAt) },
    ...{ window, until: iso(until), ends: end, outside },
    ...{ secondsLeft: Math.floor(left / 1_000), begun: notBefore <= now, suspended: suspendedAt !== null },
    only: only && [...only],
  };
}
