import { z } from 'zod';

/** What a close-out record says it is. Another form gets another name. */
export const FORMAT = 'daypass/closeout/v2';
/** Records of before: they say neither what sort of account it was nor what the policies allowed. */
const FORMER = 'daypass/closeout/v1';

const text = z.string();
const maybe = text.nullable();
const count = z.int().min(0);
/** ISO 8601, UTC. */
const time = z.iso.datetime();
const timeOrNone = time.nullable();

const requestSchema = z.strictObject({
  id: z.uuid(),
  ...{ principal: text, service: text, role: text, task: text, kind: text },
  ...{ startsAt: time, endsAt: time, seconds: count, clock: text, hours: maybe },
  ...{ sponsor: maybe, nda: z.uuid().nullable(), lane: text, owner: text, policyVersion: text, needed: count },
  ...{ state: text, createdAt: time, decideBy: time, decidedAt: timeOrNone },
  /** What the approvers left of it; null: as it was asked for. */
  ...{ allowedRole: maybe, allowedSeconds: count.nullable(), allowedOnly: z.array(text).nullable() },
  ...{ activatedAt: timeOrNone, overAt: timeOrNone },
  ...{ reviewDue: timeOrNone, reviewedAt: timeOrNone, reviewedBy: maybe, review: maybe },
  /** Of the person whose request it is. */
  account: z.enum(['employee', 'contractor']).optional(),
});

const approvalSchema = z.strictObject({
  ...{ approver: text, outcome: text, at: time, comment: text, owner: text },
  /** What they narrowed; null: nothing. */
  ...{ role: maybe, seconds: count.nullable(), only: z.array(text).nullable() },
});

const actSchema = z.strictObject({
  ...{ act: text, at: time, by: text, reason: text },
  detail: z.record(z.string(), z.unknown()),
});

const ndaSchema = z.strictObject({
  id: z.uuid(),
  ...{ party: text, title: text, textSha256: text, signedOn: text, validUntil: text },
  ...{ registeredAt: time, registeredBy: text, endedAt: timeOrNone, endedBy: maybe },
  acknowledged: z.strictObject({ by: text, at: time, textSha256: text }).nullable(),
});

const grantSchema = z.strictObject({
  id: text,
  ...{ service: text, principal: text, role: text, sponsor: text },
  ...{ issuedAt: time, notBefore: time, expiresAt: time, renewals: count, revokedAt: timeOrNone },
  suspendedAt: timeOrNone,
  /** The signed grant that was in force last. */
  token: text,
  /** Issue, renewals, suspensions, hand-back or revocation; `token` is what an act put in force. */
  acts: z.array(z.strictObject({ act: text, at: time, by: text, reason: text, token: maybe })),
});

const sessionSchema = z.strictObject({
  id: z.uuid(),
  ...{ grant: text, protocol: text, client: text, mode: text, policyVersion: text, gateway: text },
  ...{ from: time, to: timeOrNone, endReason: maybe },
  ...{ dueAt: timeOrNone, cutAt: timeOrNone, bytesAfterDue: count.nullable() },
  ...{ actions: count, rows: count, bytesIn: count, bytesOut: count },
  /** How often something was refused, by reason. */
  denials: z.record(z.string(), count),
  /** Where its recording ends: number of the last event, and the chain's value after it (SHA-256). */
  ...{ lastSeq: count, head: maybe },
  /** A part of its recording cannot be read: what it says is not counted. */
  unreadable: z.boolean(),
});

const denialSchema = z.strictObject({
  ...{ session: z.uuid(), seq: count, at: time, verb: text, on: z.array(text), reason: text, rule: text },
});

const alertSchema = z.strictObject({
  id: z.uuid(),
  ...{ kind: text, at: time, grant: maybe, session: maybe, acknowledgedAt: timeOrNone, acknowledgedBy: maybe },
  detail: z.record(z.string(), z.unknown()),
});

/** One line of the audit log as it stands there: `hash` is SHA-256 of `before` and the bytes of `entry`. */
const auditSchema = z.strictObject({ seq: count, entry: text, before: text, hash: text });

/** What a policy says of grants and of who has to agree. */
const limitsSchema = z.strictObject({
  owner: text,
  /** Null: nobody could ask for it. */
  approvals: count.nullable(),
  preApproved: z.array(text),
  /** How long an emergency lasts at most; null: there are none. */
  breakGlassSeconds: count.nullable(),
  ...{ maxDurationSeconds: count, maxRenewals: count, maxTotalSeconds: count.nullable() },
});

const policySchema = z.strictObject({
  ...{ version: text, firstSeen: time },
  /** Null: its text is not what its version says, or cannot be read. */
  limits: limitsSchema.nullable().optional(),
});

/** Everything about one engagement: what was asked, who agreed, what was done, how it ended. */
export const closeOutSchema = z.strictObject({
  format: z.enum([FORMAT, FORMER]),
  /** `interim`: something of it goes on, or waits. */
  state: z.enum(['final', 'interim']),
  /** What keeps it from being final, one sentence each. */
  open: z.array(text),
  made: z.strictObject({ at: time, by: text, via: text }),
  request: requestSchema,
  approvals: z.array(approvalSchema),
  acts: z.array(actSchema),
  nda: ndaSchema.nullable(),
  grants: z.array(grantSchema),
  sessions: z.array(sessionSchema),
  totals: z.strictObject({ ...{ sessions: count, actions: count, rows: count, bytesIn: count, bytesOut: count } }),
  denials: z.strictObject({
    total: count,
    byReason: z.record(z.string(), count),
    /** The first ones. */
    listed: z.array(denialSchema),
    /** How many are not listed. */
    more: count,
  }),
  alerts: z.array(alertSchema),
  audit: z.strictObject({
    lines: z.array(auditSchema),
    /** Where the log ended when this was made; null for a log without lines. */
    head: z.strictObject({ seq: count, hash: text }).nullable(),
  }),
  policies: z.array(policySchema),
});

export type CloseOutRecord = z.infer<typeof closeOutSchema>;
export type CloseOutLimits = z.infer<typeof limitsSchema>;
export type CloseOutSession = CloseOutRecord['sessions'][number];
export type CloseOutDenial = CloseOutRecord['denials']['listed'][number];
