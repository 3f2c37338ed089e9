import { z } from 'zod';
import { parseSize, SIZE } from './size.js';
import { durationSchema, hinted } from './values.js';

/** What an alert may be about, each a rule of `alerts:`; docs/alerts.md says when it is raised. */
export const ALERT_KINDS = [
  ...(['denials', 'second_network', 'outside_hours', 'volume', 'first_write', 'ddl', 'break_glass'] as const),
  ...(['direct_issue', 'unused_grant', 'account_ending'] as const),
  ...(['recorder_lag', 'verification_failed', 'feed_lost', 'clock_off'] as const),
] as const;

export type AlertKind = (typeof ALERT_KINDS)[number];

/** One rule: on unless the file says otherwise, with its thresholds. */
function rule<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject({ enabled: z.boolean(hinted('not a switch', 'true or false')).default(true), ...shape });
}

function count(from: number, to: number) {
  const problem = hinted('not a number of this rule', `a whole number from ${from} to ${to}`);
  return z.int(problem).min(from, problem).max(to, problem);
}

const SIZE_PROBLEM = hinted('not a size', 'a whole number and a unit: 500KiB, 50MiB, 2GiB');
const size = z
  .string(SIZE_PROBLEM)
  .regex(SIZE, SIZE_PROBLEM)
  .transform((text) => parseSize(text) ?? 0);

/** `alerts:` of `daypass.yaml`. Durations become seconds, sizes bytes. */
export const alertsSchema = z.strictObject({
  window: durationSchema.default(3_600),
  denials: rule({ count: count(2, 10_000).default(20), within: durationSchema.default(300) }).prefault({}),
  second_network: rule({}).prefault({}),
  outside_hours: rule({}).prefault({}),
  volume: rule({
    times: count(2, 10_000).default(10),
    rows: count(1, 1_000_000_000).default(10_000),
    bytes: size.default(50 * 1024 ** 2),
  }).prefault({}),
  first_write: rule({}).prefault({}),
  ddl: rule({}).prefault({}),
  break_glass: rule({}).prefault({}),
  direct_issue: rule({}).prefault({}),
  unused_grant: rule({ after: durationSchema.default(3_600) }).prefault({}),
  account_ending: rule({ within: durationSchema.default(7 * 86_400) }).prefault({}),
  recorder_lag: rule({ queued: size.default(16 * 1024 ** 2), lasting: durationSchema.default(5) }).prefault({}),
  verification_failed: rule({}).prefault({}),
  feed_lost: rule({ lasting: durationSchema.default(5) }).prefault({}),
  clock_off: rule({ by: durationSchema.default(2) }).prefault({}),
});

/** Which alerts are raised, and from which thresholds on. */
export type AlertSettings = Readonly<z.output<typeof alertsSchema>>;
